//! Checkpoints of an audit log in the form of c2sp.org/tlog-checkpoint, signed as notes
//! (c2sp.org/signed-note).

use data_encoding::{BASE64, HEXLOWER};

use crate::{
    crypto::{SigningKey, sha256, verify_signature},
    types::{MemberId, NetworkId},
};

/// How an audit log stood at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The network of the log.
    pub network: NetworkId,
    /// The member whose log it is.
    pub member: MemberId,
    /// Leaves of the tree.
    pub size: u64,
    /// Root of the tree.
    pub root: [u8; 32],
    /// Where the journal stood, which the tree is derived from (`storage.md` 4).
    pub journal: Option<JournalHead>,
}

/// Head of the hash-chained journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalHead {
    /// Position of the last record.
    pub position: u64,
    /// Chain behind it.
    pub chain: [u8; 32],
}

/// Why a checkpoint is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// Longer than any checkpoint.
    #[error("a checkpoint of {len_bytes} bytes")]
    Length {
        /// Bytes found.
        len_bytes: usize,
    },
    /// No checkpoint in the one form that is written.
    #[error("the checkpoint is malformed")]
    Malformed,
    /// The checkpoint of another log.
    #[error("the checkpoint is another log's")]
    Origin,
    /// The log's own key has not signed.
    #[error("the log's key has not signed the checkpoint")]
    Unsigned,
    /// The signature under the log's key does not hold.
    #[error("the signature of the checkpoint does not hold")]
    Forged,
}

/// Bytes of a signed checkpoint; some cosignatures of witnesses fit.
const NOTE_MAX_BYTES: usize = 16 << 10;
/// Signature type of Ed25519 (c2sp.org/signed-note).
const ED25519: u8 = 0x01;
const EXTENSION: &str = "chartmesh-journal ";

impl Checkpoint {
    /// Name of a log, and of the key that signs it.
    pub fn origin(network: &NetworkId, member: &MemberId) -> String {
        format!("chartmesh/{network}/{member}")
    }

    /// The text that is signed: origin, size, root, and the journal's head as an extension line.
    pub fn text(&self) -> String {
        let origin = Self::origin(&self.network, &self.member);
        let root = BASE64.encode(&self.root);
        let mut text = format!("{origin}\n{}\n{root}\n", self.size);
        if let Some(JournalHead { position, chain }) = &self.journal {
            text += &format!("{EXTENSION}{position} {}\n", BASE64.encode(chain));
        }
        text
    }

    /// The signed note.
    pub fn sign(&self, key: &SigningKey) -> String {
        let name = Self::origin(&self.network, &self.member);
        signed_by(&self.text(), &name, key)
    }

    /// Reads a signed note of one log and verifies the signature of that log's key. Lines of other
    /// keys, such as cosignatures, are left aside.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn verify(
        note: &str,
        network: &NetworkId,
        member: &MemberId,
        public: &[u8; 32],
    ) -> Result<Self, CheckpointError> {
        let name = Self::origin(network, member);
        // Whose it is comes first, so that another log's is told from a forged one.
        let checkpoint = Self::parse(halves(note)?.0, &name, *network, *member)?;
        split_note(note, &name, public)?;
        Ok(checkpoint)
    }

    /// Size and root that a note names, unverified: what this node itself signed is read back by it.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub fn claims(note: &str) -> Result<(u64, [u8; 32]), CheckpointError> {
        let mut lines = note.lines().skip(1);
        Ok((number(lines.next())?, hash(lines.next())?))
    }

    /// Name, key id and key as one line, by which others verify the log (c2sp.org/signed-note: verifier
    /// key).
    pub fn verifier_key(network: &NetworkId, member: &MemberId, public: &[u8; 32]) -> String {
        let name = Self::origin(network, member);
        let id = HEXLOWER.encode(&key_hash(&name, public));
        let key = BASE64.encode(&[&[ED25519][..], public].concat());
        format!("{name}+{id}+{key}")
    }

    fn parse(
        text: &str,
        name: &str,
        network: NetworkId,
        member: MemberId,
    ) -> Result<Self, CheckpointError> {
        let mut lines = text.lines();
        if lines.next() != Some(name) {
            return Err(CheckpointError::Origin);
        }
        let size = number(lines.next())?;
        let root = hash(lines.next())?;
        let journal = lines.next().map(journal_head).transpose()?;
        let checkpoint = Self {
            network,
            member,
            size,
            root,
            journal,
        };
        // One checkpoint has one text, so that two different notes are two different claims.
        if checkpoint.text() != text {
            return Err(CheckpointError::Malformed);
        }
        Ok(checkpoint)
    }
}

/// A text signed as a note by a log's key.
pub(super) fn signed_by(text: &str, name: &str, key: &SigningKey) -> String {
    let id = key_hash(name, &key.public());
    let signature = [&id[..], &key.sign_raw(text.as_bytes())].concat();
    format!("{text}\n\u{2014} {name} {}\n", BASE64.encode(&signature))
}

/// The text of a note that a log's key has signed.
pub(super) fn split_note<'a>(
    note: &'a str,
    name: &str,
    public: &[u8; 32],
) -> Result<&'a str, CheckpointError> {
    let (text, signatures) = halves(note)?;
    let signature = own_signature(signatures, name, public)?;
    verify_signature(public, text.as_bytes(), &signature).map_err(|_| CheckpointError::Forged)?;
    Ok(text)
}

/// The text of a note, and its signature lines.
fn halves(note: &str) -> Result<(&str, &str), CheckpointError> {
    if note.len() > NOTE_MAX_BYTES {
        return Err(CheckpointError::Length {
            len_bytes: note.len(),
        });
    }
    let gap = note.rfind("\n\n").ok_or(CheckpointError::Malformed)?;
    Ok((&note[..=gap], &note[gap + 2..]))
}

fn journal_head(line: &str) -> Result<JournalHead, CheckpointError> {
    let rest = line
        .strip_prefix(EXTENSION)
        .ok_or(CheckpointError::Malformed)?;
    let (position, chain) = rest.split_once(' ').ok_or(CheckpointError::Malformed)?;
    Ok(JournalHead {
        position: number(Some(position))?,
        chain: hash(Some(chain))?,
    })
}

fn number(text: Option<&str>) -> Result<u64, CheckpointError> {
    text.and_then(|text| text.parse().ok())
        .ok_or(CheckpointError::Malformed)
}

fn hash(text: Option<&str>) -> Result<[u8; 32], CheckpointError> {
    text.and_then(|text| BASE64.decode(text.as_bytes()).ok())
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(CheckpointError::Malformed)
}

fn own_signature(
    signatures: &str,
    name: &str,
    public: &[u8; 32],
) -> Result<[u8; 64], CheckpointError> {
    let id = key_hash(name, public);
    let mut own = None;
    for line in signatures.split_inclusive('\n') {
        let (signer, value) = line
            .strip_suffix('\n')
            .and_then(|line| line.strip_prefix("\u{2014} "))
            .and_then(|line| line.split_once(' '))
            .ok_or(CheckpointError::Malformed)?;
        let value = BASE64
            .decode(value.as_bytes())
            .map_err(|_| CheckpointError::Malformed)?;
        let (signer_id, signature) = value
            .split_first_chunk::<4>()
            .ok_or(CheckpointError::Malformed)?;
        if signer != name || *signer_id != id {
            continue;
        }
        let signature = signature
            .try_into()
            .map_err(|_| CheckpointError::Malformed)?;
        if own.replace(signature).is_some() {
            return Err(CheckpointError::Malformed);
        }
    }
    own.ok_or(CheckpointError::Unsigned)
}

/// Which key signed (c2sp.org/signed-note: key ID).
fn key_hash(name: &str, public: &[u8; 32]) -> [u8; 4] {
    let hash = sha256(&[name.as_bytes(), b"\n", &[ED25519], public]);
    *hash.first_chunk().expect("4 bytes of 32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SecretKey;

    const NETWORK: NetworkId = NetworkId([3; 32]);
    const MEMBER: MemberId = MemberId([4; 16]);

    #[test]
    fn a_checkpoint_comes_back_from_its_note() {
        for journal in [None, head()] {
            let checkpoint = Checkpoint {
                journal,
                ..checkpoint()
            };

            let note = checkpoint.sign(&key(1));

            assert_eq!(verified(&note), Ok(checkpoint));
        }
    }

    #[test]
    fn a_checkpoint_has_the_lines_of_tlog_checkpoint() {
        let note = checkpoint().sign(&key(1));
        let lines: Vec<&str> = note.lines().collect();
        let name = Checkpoint::origin(&NETWORK, &MEMBER);

        assert_eq!(name, format!("chartmesh/{}/{MEMBER}", "03".repeat(32)));
        assert_eq!(lines[0], name);
        assert_eq!(lines[1], "128");
        assert_eq!(lines[2], "BQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQU=");
        assert_eq!(lines[3], "");
        assert!(lines[4].starts_with(&format!("\u{2014} {name} ")));
        assert_eq!(lines.len(), 5);
        assert!(note.ends_with('\n'));
    }

    #[test]
    fn one_changed_byte_is_refused() {
        let note = Checkpoint {
            journal: head(),
            ..checkpoint()
        }
        .sign(&key(1));
        assert!(verified(&note).is_ok());

        for (position, letter) in note.char_indices() {
            for other in ['A', '1', '\n', ' '] {
                let mut changed = note.clone();
                changed.replace_range(position..position + letter.len_utf8(), &other.to_string());
                assert!(changed == note || verified(&changed).is_err(), "{changed}");
            }
        }
    }

    #[test]
    fn another_log_or_another_key_is_refused() {
        let note = checkpoint().sign(&key(1));
        assert!(verified(&note).is_ok());
        let public = key(1).public();

        assert_eq!(
            Checkpoint::verify(&note, &NetworkId([0; 32]), &MEMBER, &public),
            Err(CheckpointError::Origin)
        );
        assert_eq!(
            Checkpoint::verify(&note, &NETWORK, &MemberId([0; 16]), &public),
            Err(CheckpointError::Origin)
        );
        assert_eq!(
            Checkpoint::verify(&note, &NETWORK, &MEMBER, &key(2).public()),
            Err(CheckpointError::Unsigned)
        );
    }

    #[test]
    fn a_signature_of_another_text_is_forged() {
        let note = checkpoint().sign(&key(1));
        let other = Checkpoint {
            size: 129,
            ..checkpoint()
        };
        assert!(verified(&note).is_ok());

        let moved = note.replacen(&checkpoint().text(), &other.text(), 1);

        assert_eq!(verified(&moved), Err(CheckpointError::Forged));
    }

    #[test]
    fn cosignatures_of_others_are_left_aside() {
        let note = checkpoint().sign(&key(1));
        let cosignature = "\u{2014} witness.example/w1 AAAAAAECAwQF\n";

        assert_eq!(verified(&format!("{note}{cosignature}")), Ok(checkpoint()));
        assert_eq!(
            verified(&format!("{}\n{cosignature}", checkpoint().text())),
            Err(CheckpointError::Unsigned)
        );
    }

    #[test]
    fn a_second_way_to_write_a_checkpoint_is_refused_though_signed() {
        let text = checkpoint().text();
        assert!(verified(&note_of(&text)).is_ok());

        for second in [
            text.replacen("\n128\n", "\n0128\n", 1),
            text.replacen("\n128\n", "\n+128\n", 1),
            text.replacen("\n128\n", "\n128\r\n", 1),
            format!("{text}more\n"),
            format!("{text}chartmesh-journal 07 {}\n", "A".repeat(43) + "="),
            text.replacen('=', "", 1),
        ] {
            assert_eq!(
                verified(&note_of(&second)),
                Err(CheckpointError::Malformed),
                "{second}"
            );
        }
    }

    #[test]
    fn a_note_of_any_length_is_not_read() {
        let note = checkpoint().sign(&key(1));
        let line = "\u{2014} witness.example/w1 AAAAAAECAwQF\n";
        let most = (NOTE_MAX_BYTES - note.len()) / line.len();
        let full = note.clone() + &line.repeat(most);
        assert!(verified(&full).is_ok());

        let len_bytes = full.len() + line.len();

        assert_eq!(
            verified(&(full + line)),
            Err(CheckpointError::Length { len_bytes })
        );
        assert_eq!(verified(""), Err(CheckpointError::Malformed));
    }

    proptest::proptest! {
        #[test]
        fn no_text_verifies_or_panics(lines in proptest::collection::vec("[ -~\u{2014}]{0,9}", 0..9)) {
            let note = lines.join("\n");
            let behind_a_checkpoint = format!("{}{note}", checkpoint().text());

            proptest::prop_assert!(verified(&note).is_err());
            proptest::prop_assert!(verified(&behind_a_checkpoint).is_err());
        }
    }

    fn verified(note: &str) -> Result<Checkpoint, CheckpointError> {
        Checkpoint::verify(note, &NETWORK, &MEMBER, &key(1).public())
    }

    fn note_of(text: &str) -> String {
        let name = Checkpoint::origin(&NETWORK, &MEMBER);
        let id = key_hash(&name, &key(1).public());
        let signature = [&id[..], &key(1).sign_raw(text.as_bytes())].concat();
        format!("{text}\n\u{2014} {name} {}\n", BASE64.encode(&signature))
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            network: NETWORK,
            member: MEMBER,
            size: 128,
            root: [5; 32],
            journal: None,
        }
    }

    fn head() -> Option<JournalHead> {
        Some(JournalHead {
            position: 7,
            chain: [6; 32],
        })
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&SecretKey::new([seed; 32]))
    }
}
