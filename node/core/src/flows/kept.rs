//! Ciphertext of a document on its way in: in a part file that a later try resumes, or, where the
//! document is small, in memory alone.

use std::ops::Range;

use bytes::Bytes;

use crate::{
    crypto,
    ports::World,
    records::StoreError,
    types::limits::{FETCH_MEMORY_MAX_BYTES, FETCH_STEP_CHUNKS},
};

/// Root and sealed size, which stand before the chunks of a part file.
const HEADER_BYTES: u64 = 40;

/// What is here of one file.
pub(super) struct Kept {
    part: [u8; 32],
    root: [u8; 32],
    sealed_size: u64,
    chunks: u64,
    place: Place,
}

enum Place {
    Memory(Vec<u8>),
    /// The part file, and the chunks that are not in it yet.
    File(Vec<u8>),
}

impl Kept {
    /// What an earlier try left under a name; anything unusable is as if there were nothing.
    pub(super) async fn find<W: World>(
        world: &W,
        part: [u8; 32],
    ) -> Result<Option<Self>, StoreError> {
        let Some(len) = world.part_len(part).await? else {
            return Ok(None);
        };
        let header = world.read_part(part, 0, HEADER_BYTES as usize).await?;
        Ok(read_header(&header).and_then(|(root, sealed_size)| {
            let chunks = whole_chunks(sealed_size, len.saturating_sub(HEADER_BYTES))?;
            Some(Self {
                part,
                root,
                sealed_size,
                chunks,
                place: Place::File(Vec::new()),
            })
        }))
    }

    /// A place for a file of which nothing is here.
    pub(super) async fn begin<W: World>(
        world: &W,
        part: [u8; 32],
        root: [u8; 32],
        sealed_size: u64,
    ) -> Result<Self, StoreError> {
        let place = if sealed_size <= FETCH_MEMORY_MAX_BYTES {
            Place::Memory(Vec::with_capacity(sealed_size as usize))
        } else {
            world.remove_part(part).await?;
            let header = part_header(&root, sealed_size);
            world.append_part(part, header.into()).await?;
            Place::File(Vec::new())
        };
        Ok(Self {
            part,
            root,
            sealed_size,
            chunks: 0,
            place,
        })
    }

    /// Whether it lies in memory alone.
    pub(super) fn is_in_memory(&self) -> bool {
        matches!(self.place, Place::Memory(_))
    }

    /// Root and number of chunks that are here whole; none where there is no chunk.
    pub(super) fn resume(&self) -> Option<([u8; 32], u64)> {
        (self.chunks > 0).then_some((self.root, self.chunks))
    }

    /// Adds the next chunk. It can be read once it was flushed.
    pub(super) async fn add<W: World>(
        &mut self,
        world: &W,
        chunk: &[u8],
    ) -> Result<(), StoreError> {
        self.chunks += 1;
        match &mut self.place {
            Place::Memory(bytes) => bytes.extend_from_slice(chunk),
            Place::File(waiting) => {
                waiting.extend_from_slice(chunk);
                if waiting.len() >= FETCH_STEP_CHUNKS as usize * chunk.len() {
                    return self.flush(world).await;
                }
            }
        }
        Ok(())
    }

    /// Writes what waits, so that it can be read and a later try goes on from it.
    pub(super) async fn flush<W: World>(&mut self, world: &W) -> Result<(), StoreError> {
        match &mut self.place {
            Place::File(waiting) if !waiting.is_empty() => {
                let waiting = std::mem::take(waiting);
                world.append_part(self.part, waiting.into()).await
            }
            Place::File(_) | Place::Memory(_) => Ok(()),
        }
    }

    /// The header of the file, its first chunk.
    pub(super) async fn header<W: World>(&self, world: &W) -> Result<Bytes, StoreError> {
        let header = self.read(world, 0..1).await?;
        header.into_iter().next().ok_or(StoreError::Missing)
    }

    /// Chunks from one on, as many as are read in one step; nothing behind the last.
    pub(super) async fn step<W: World>(
        &self,
        world: &W,
        from: u64,
    ) -> Result<Vec<Bytes>, StoreError> {
        let till = from.saturating_add(FETCH_STEP_CHUNKS).min(self.chunks);
        self.read(world, from..till).await
    }

    async fn read<W: World>(
        &self,
        world: &W,
        chunks: Range<u64>,
    ) -> Result<Vec<Bytes>, StoreError> {
        let Some(span) = ChunkSpan::of(self.sealed_size, chunks) else {
            return Ok(Vec::new());
        };
        let (start, len) = (span.start, span.len);
        let bytes = match &self.place {
            Place::Memory(bytes) => {
                let here = bytes.get(start as usize..start as usize + len);
                Bytes::copy_from_slice(here.ok_or(StoreError::Missing)?)
            }
            Place::File(_) => {
                world
                    .read_part(self.part, HEADER_BYTES + start, len)
                    .await?
            }
        };
        span.cut(&bytes).ok_or(StoreError::Missing)
    }
}

/// Where chunks that follow each other lie in a sealed file, so that they are read in one step.
pub(super) struct ChunkSpan {
    /// Where the first begins.
    pub(super) start: u64,
    /// Bytes of all together.
    pub(super) len: usize,
    ends: Vec<usize>,
}

impl ChunkSpan {
    /// None where a file of that size has no such chunks.
    pub(super) fn of(sealed_size: u64, chunks: Range<u64>) -> Option<Self> {
        let ranges: Vec<Range<u64>> = chunks
            .filter_map(|index| crypto::chunk_range(sealed_size, index))
            .collect();
        let start = ranges.first()?.start;
        let ends: Vec<usize> = ranges
            .iter()
            .map(|range| (range.end - start) as usize)
            .collect();
        let len = *ends.last()?;
        Some(Self { start, len, ends })
    }

    /// The chunks in what was read; none where something is missing.
    pub(super) fn cut(&self, bytes: &Bytes) -> Option<Vec<Bytes>> {
        let mut from = 0;
        (bytes.len() == self.len).then(|| {
            self.ends
                .iter()
                .map(|end| bytes.slice(std::mem::replace(&mut from, *end)..*end))
                .collect()
        })
    }
}

fn part_header(root: &[u8; 32], sealed_size: u64) -> Vec<u8> {
    [&root[..], &sealed_size.to_be_bytes()].concat()
}

fn read_header(header: &[u8]) -> Option<([u8; 32], u64)> {
    let (root, size) = header.split_first_chunk::<32>()?;
    let size = size.first_chunk::<8>()?;
    Some((*root, u64::from_be_bytes(*size)))
}

/// How many chunks the first bytes of a file are; none where they end within one, since nothing can
/// be added behind that.
fn whole_chunks(sealed_size: u64, len: u64) -> Option<u64> {
    let mut end = 0;
    let mut chunks = 0;
    while end < len {
        end = crypto::chunk_range(sealed_size, chunks)?.end;
        chunks += 1;
    }
    (end == len).then_some(chunks)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    /// A part file with the header and first chunk of a file of 256 sealed bytes more, as it lies.
    const VECTOR: &str = include_str!("../../../../tests/vectors/store-part.json");

    fn field(name: &str) -> Vec<u8> {
        let vector: serde_json::Value = serde_json::from_str(VECTOR).unwrap();
        HEXLOWER
            .decode(vector[name].as_str().unwrap().as_bytes())
            .unwrap()
    }

    #[test]
    fn the_header_of_a_part_file_is_written_and_read_as_its_vector_says() {
        let root: [u8; 32] = field("root").try_into().unwrap();
        let sealed_size = crypto::sealed_len(100_000);

        let header = part_header(&root, sealed_size);

        assert_eq!(header, field("header"));
        assert_eq!(header.len() as u64, HEADER_BYTES);
        assert_eq!(read_header(&header), Some((root, sealed_size)));
        assert_eq!(read_header(&header[..39]), None);
    }

    #[test]
    fn only_whole_chunks_are_gone_on_from() {
        let sealed_size = crypto::sealed_len(100_000);
        let end = |index| crypto::chunk_range(sealed_size, index).unwrap().end;

        for chunks in 0..3 {
            assert_eq!(whole_chunks(sealed_size, end(chunks)), Some(chunks + 1));
            assert_eq!(whole_chunks(sealed_size, end(chunks) - 1), None);
        }
        assert_eq!(whole_chunks(sealed_size, 0), Some(0));
        assert_eq!(whole_chunks(sealed_size, sealed_size + 1), None);
        assert_eq!(whole_chunks(5, 1), None, "no file has five bytes");
    }
}
