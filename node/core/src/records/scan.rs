//! Reads the journal from its start, frame by frame, and tells a torn tail from tampering.
//!
//! All that one sync covers is one frame, so what a power cut can leave is a part of the last frame
//! and nothing after it. Anything else that does not verify was changed after it was acknowledged.

use super::{
    Disk, Place, StoreError,
    frame::{self, CHAIN_BYTES, FILE_HEADER_BYTES, FRAME_HEAD_BYTES, FrameHead, Head, RawRecord},
};
use crate::types::limits::COMMIT_MAX_BYTES;

/// Bytes read ahead.
const CHUNK_BYTES: usize = 1 << 20;
/// A disk writes whole sectors of this many bytes or multiples of it.
const SECTOR_BYTES: u64 = 512;
/// Fewer zero bytes than this at the end of a frame may be its own.
const ZERO_RUN_MIN: usize = 8;

/// Why reading stopped before the end.
pub(super) enum Flaw {
    /// Bytes that were acknowledged, or never written by a journal.
    Store(StoreError),
    /// What a power cut leaves of a frame that was never acknowledged.
    Torn {
        /// Which file.
        file: u64,
        /// Where the frame starts.
        offset: u64,
        /// Bytes from there to the end of the file.
        len_bytes: u64,
    },
}

impl From<StoreError> for Flaw {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A commit frame whose chain holds.
pub(super) struct Frame {
    /// Head after each record, and where the record lies in `bytes` and in its file.
    pub(super) records: Vec<(Head, Place)>,
    /// First byte of `bytes` in the file.
    offset: u64,
    bytes: Vec<u8>,
}

impl Frame {
    /// A record of this frame.
    pub(super) fn record(&self, place: Place) -> Option<RawRecord<'_>> {
        let start = usize::try_from(place.offset.checked_sub(self.offset)?).ok()?;
        RawRecord::read(self.bytes.get(start..)?)
    }
}

/// A pass over all journal files.
pub(super) struct Scan<'a, D> {
    disk: &'a D,
    store_id: &'a [u8; 16],
    files: Vec<u64>,
    /// How many of `files` were begun.
    begun: usize,
    file_len: u64,
    offset: u64,
    head: Head,
    window: Window,
}

impl<'a, D: Disk> Scan<'a, D> {
    /// Starts before the first record.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn new(disk: &'a D, store_id: &'a [u8; 16]) -> Result<Self, StoreError> {
        let files = disk
            .list("journal/")?
            .iter()
            .filter_map(|name| frame::file_first(name))
            .collect();
        Ok(Self {
            disk,
            store_id,
            files,
            begun: 0,
            file_len: 0,
            offset: 0,
            head: Head::genesis(store_id),
            window: Window::default(),
        })
    }

    /// The head after all frames read.
    pub(super) fn head(&self) -> Head {
        self.head
    }

    /// The file last begun, and how far it was read.
    pub(super) fn place(&self) -> (u64, u64) {
        let file = self.begun.checked_sub(1).map_or(1, |last| self.files[last]);
        (file, self.offset)
    }

    /// The next frame; none at the end.
    ///
    /// # Errors
    /// [`Flaw`]; the scan then stands where the good part ends.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Flaw> {
        if self.files.is_empty() {
            return Err(self.altered().into());
        }
        while self.offset == self.file_len {
            if self.begun == self.files.len() {
                return Ok(None);
            }
            self.begin_file()?;
        }
        let (file, offset) = self.place();
        let head_bytes = self.read(offset, FRAME_HEAD_BYTES)?.to_vec();
        let left = self.file_len - offset;
        let Some(head) =
            FrameHead::read(&head_bytes).filter(|head| head.frame_bytes() as u64 <= left)
        else {
            return Err(self.classify()?);
        };
        let bytes = self.read(offset, head.frame_bytes())?.to_vec();
        let Some(records) = walk(&bytes, head, self.head, file, offset) else {
            return Err(self.classify()?);
        };
        self.offset += head.frame_bytes() as u64;
        self.head = records.last().map_or(self.head, |(head, _)| *head);
        Ok(Some(Frame {
            records,
            offset,
            bytes,
        }))
    }

    fn begin_file(&mut self) -> Result<(), StoreError> {
        let first = self.files[self.begun];
        if first != self.head.position + 1 {
            return Err(self.altered());
        }
        let name = frame::file_name(first);
        let header = self.disk.read(&name, 0, FILE_HEADER_BYTES)?;
        frame::check_file_header(&header, self.store_id, self.head)?;
        self.file_len = self.disk.len(&name)?.ok_or(StoreError::Missing)?;
        self.offset = FILE_HEADER_BYTES as u64;
        self.begun += 1;
        self.window = Window::default();
        Ok(())
    }

    fn altered(&self) -> StoreError {
        StoreError::Integrity {
            position: self.head.position + 1,
        }
    }

    fn read(&mut self, offset: u64, len: usize) -> Result<&[u8], StoreError> {
        let name = frame::file_name(self.place().0);
        self.window.read(self.disk, &name, offset, len)
    }

    /// Says what the bytes from here on are, where they are no frame that follows.
    fn classify(&mut self) -> Result<Flaw, StoreError> {
        let altered = Flaw::Store(self.altered());
        let (file, offset) = self.place();
        let len_bytes = self.file_len - offset;
        let longest = FRAME_HEAD_BYTES + COMMIT_MAX_BYTES + CHAIN_BYTES;
        let Some(len) = usize::try_from(len_bytes)
            .ok()
            .filter(|len| *len <= longest)
        else {
            return Ok(altered);
        };
        if self.begun < self.files.len() {
            return Ok(altered);
        }
        let rest = self.read(offset, len)?.to_vec();
        let torn =
            (unwritten(&rest, offset) || cut_short(&rest, self.head)) && !frame_follows(&rest);
        Ok(if torn {
            Flaw::Torn {
                file,
                offset,
                len_bytes,
            }
        } else {
            altered
        })
    }
}

/// The heads and places of a whole frame's records; none where anything in it is not as written.
fn walk(
    bytes: &[u8],
    frame: FrameHead,
    before: Head,
    file: u64,
    offset: u64,
) -> Option<Vec<(Head, Place)>> {
    let end = FRAME_HEAD_BYTES + frame.len_bytes;
    let mut head = before;
    let mut at = FRAME_HEAD_BYTES;
    let mut records = Vec::new();
    while at < end {
        let record = RawRecord::read(&bytes[at..end])?;
        if record.position != head.position + 1 {
            return None;
        }
        head = head.after(record.bytes);
        records.push((
            head,
            Place {
                file,
                offset: offset + at as u64,
                len: u32::try_from(record.bytes.len()).ok()?,
            },
        ));
        at += record.bytes.len();
    }
    (records.len() == frame.count && bytes[end..] == head.chain).then_some(records)
}

/// Whether some sector of the frame was never written: a file may grow before its content arrives.
fn unwritten(rest: &[u8], offset: u64) -> bool {
    let first = usize::try_from(SECTOR_BYTES - offset % SECTOR_BYTES).unwrap_or(0);
    let (head, whole) = rest.split_at(first.min(rest.len()));
    std::iter::once(head)
        .chain(whole.chunks(SECTOR_BYTES as usize))
        .any(|sector| sector.len() >= ZERO_RUN_MIN && sector.iter().all(|byte| *byte == 0))
}

/// Whether a frame ends before its end: its records are good as far as they go.
///
/// A frame that is whole, and only claims to be longer, was acknowledged and then changed.
fn cut_short(rest: &[u8], before: Head) -> bool {
    let Some(frame) = FrameHead::read(rest) else {
        let magic = frame::FRAME_MAGIC.to_be_bytes();
        let seen = rest.len().min(magic.len());
        return rest.len() < FRAME_HEAD_BYTES && rest[..seen] == magic[..seen];
    };
    if frame.frame_bytes() <= rest.len() {
        return false;
    }
    let end = rest.len().min(FRAME_HEAD_BYTES + frame.len_bytes);
    let mut head = before;
    let mut at = FRAME_HEAD_BYTES;
    while let Some(record) = RawRecord::read(&rest[at..end]) {
        if record.position != head.position + 1 {
            return false;
        }
        head = head.after(record.bytes);
        at += record.bytes.len();
        if rest[at..].starts_with(&head.chain) {
            return false;
        }
    }
    true
}

/// Whether a whole commit lies somewhere behind: it was written after what precedes it was synced.
fn frame_follows(rest: &[u8]) -> bool {
    let magic = frame::FRAME_MAGIC.to_be_bytes();
    (CHAIN_BYTES..rest.len().saturating_sub(FRAME_HEAD_BYTES))
        .filter(|at| rest[*at..].starts_with(&magic))
        .any(|at| {
            let Some(frame) = FrameHead::read(&rest[at..]) else {
                return false;
            };
            let Some(bytes) = rest[at..].get(..frame.frame_bytes()) else {
                return false;
            };
            let Some(first) = RawRecord::read(&bytes[FRAME_HEAD_BYTES..]) else {
                return false;
            };
            // The chain before a frame is the last thing that the frame before it wrote.
            let mut chain = [0; CHAIN_BYTES];
            chain.copy_from_slice(&rest[at - CHAIN_BYTES..at]);
            let Some(position) = first.position.checked_sub(1) else {
                return false;
            };
            walk(bytes, frame, Head { position, chain }, 0, 0).is_some()
        })
}

/// Bytes read ahead of one file.
#[derive(Default)]
struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    fn read<D: Disk>(
        &mut self,
        disk: &D,
        name: &str,
        offset: u64,
        len: usize,
    ) -> Result<&[u8], StoreError> {
        let held = offset
            .checked_sub(self.start)
            .and_then(|at| usize::try_from(at).ok());
        let at = match held.filter(|at| at.saturating_add(len) <= self.bytes.len()) {
            Some(at) => at,
            None => {
                self.bytes = disk.read(name, offset, len.max(CHUNK_BYTES))?;
                self.start = offset;
                0
            }
        };
        let end = at.saturating_add(len).min(self.bytes.len());
        Ok(&self.bytes[at..end])
    }
}
