//! Tickets: what an inviter gives a stranger, to be typed or pasted once.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use crate::{
    crypto::{SecretKey, sha256},
    types::{
        NetworkId, NodeKey, Timestamp,
        limits::{NODE_ADDRESS_BYTES_MAX, NODE_ADDRESSES_MAX},
    },
};

/// What the text starts with, version included.
const PREFIX: &str = "chartmesh1";
const SECRET_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 5;
/// The bytes of the total length, in front.
const LENGTH_BYTES: usize = 2;
/// Length, network, inviter, expiry, secret and the number of addresses.
const FIXED_BYTES: usize = LENGTH_BYTES + 32 + 32 + 8 + SECRET_BYTES + 1;
const TICKET_BYTES_MAX: usize =
    FIXED_BYTES + NODE_ADDRESSES_MAX * (1 + NODE_ADDRESS_BYTES_MAX) + CHECKSUM_BYTES;
/// Characters that hold the length: 5 bytes in 8 characters.
const LENGTH_CHARS: usize = 8;

const _: () = assert!(NODE_ADDRESS_BYTES_MAX <= 0xFF, "its length is one byte");
const _: () = assert!(NODE_ADDRESSES_MAX <= 0xFF, "their number is one byte");
const _: () = assert!(TICKET_BYTES_MAX <= 0xFFFF, "the length is two bytes");

/// Why a text is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// The text does not start as tickets of this version do.
    #[error("a ticket starts with chartmesh1")]
    Prefix,
    /// The end of the text is missing.
    #[error("the ticket is cut off: {found} of {expected} characters")]
    Truncated {
        /// Characters found.
        found: usize,
        /// Characters it says it has.
        expected: usize,
    },
    /// A character differs, is missing in the middle, or too many stand at the end.
    #[error("the ticket was altered or mistyped")]
    Altered,
    /// More or longer addresses than a ticket carries.
    #[error("a ticket carries at most 16 addresses of 255 bytes")]
    Addresses,
}

/// An invitation. Its `Debug` shows nothing: whoever reads a ticket can ask to join with it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The network.
    pub network: NetworkId,
    /// Who invites.
    pub inviter: NodeKey,
    /// Where the inviter can be reached: binary multiaddresses.
    pub addresses: Vec<Bytes>,
    /// Until when.
    pub expiry: Timestamp,
    /// 16 random bytes.
    pub secret: Zeroizing<[u8; SECRET_BYTES]>,
}

impl Ticket {
    /// What inviter and applicant prove the ticket with; the inviter keeps it and not the secret.
    pub fn key(&self) -> SecretKey {
        SecretKey::new(sha256(&[b"chartmesh/1/ticket", &self.secret[..]]))
    }

    /// Names the ticket without its secret.
    pub fn name(&self) -> [u8; 32] {
        ticket_name(&self.key())
    }

    /// The text that is handed over.
    ///
    /// # Errors
    /// [`TicketError::Addresses`] where they are too many or too long.
    pub fn to_text(&self) -> Result<Zeroizing<String>, TicketError> {
        let too_long = |address: &Bytes| address.len() > NODE_ADDRESS_BYTES_MAX;
        if self.addresses.len() > NODE_ADDRESSES_MAX || self.addresses.iter().any(too_long) {
            return Err(TicketError::Addresses);
        }
        let addresses: usize = self.addresses.iter().map(|one| 1 + one.len()).sum();
        let len = FIXED_BYTES + addresses + CHECKSUM_BYTES;
        let mut bytes = Zeroizing::new(Vec::with_capacity(len));
        bytes.extend_from_slice(&(len as u16).to_be_bytes());
        bytes.extend_from_slice(&self.network.0);
        bytes.extend_from_slice(&self.inviter.0);
        bytes.extend_from_slice(&self.expiry.0.to_be_bytes());
        bytes.extend_from_slice(&self.secret[..]);
        bytes.push(self.addresses.len() as u8);
        for address in &self.addresses {
            bytes.push(address.len() as u8);
            bytes.extend_from_slice(address);
        }
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + chars_of(len)));
        text.push_str(PREFIX);
        BASE32_NOPAD.encode_append(&bytes, &mut text);
        text.make_ascii_lowercase();
        Ok(text)
    }
}

/// Names a ticket without its secret, by its key.
pub fn ticket_name(key: &SecretKey) -> [u8; 32] {
    sha256(&[&key[..]])
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Reads the text; spaces around it and the case of its letters do not matter. Whether its time
    /// is over is for the caller to judge.
    fn from_str(text: &str) -> Result<Self, TicketError> {
        let upper = Zeroizing::new(text.trim().to_ascii_uppercase());
        let Some(rest) = upper.strip_prefix(&PREFIX.to_ascii_uppercase()[..]) else {
            return Err(TicketError::Prefix);
        };
        let expected = stated_chars(rest.as_bytes())?;
        if rest.len() < expected {
            return Err(TicketError::Truncated {
                found: PREFIX.len() + rest.len(),
                expected: PREFIX.len() + expected,
            });
        }
        let bytes = BASE32_NOPAD
            .decode(rest.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| TicketError::Altered)?;
        let (body, sum) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(TicketError::Altered)?;
        if *sum != checksum(body) {
            return Err(TicketError::Altered);
        }
        read(body).ok_or(TicketError::Altered)
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket(..)")
    }
}

/// How many characters follow the prefix, by the length that stands in front.
fn stated_chars(rest: &[u8]) -> Result<usize, TicketError> {
    let Some(front) = rest.get(..LENGTH_CHARS) else {
        return Err(TicketError::Truncated {
            found: PREFIX.len() + rest.len(),
            expected: PREFIX.len() + chars_of(FIXED_BYTES + CHECKSUM_BYTES),
        });
    };
    let front = BASE32_NOPAD
        .decode(front)
        .map_err(|_| TicketError::Altered)?;
    let [high, low, ..] = front[..] else {
        return Err(TicketError::Altered);
    };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if !(FIXED_BYTES + CHECKSUM_BYTES..=TICKET_BYTES_MAX).contains(&len) {
        return Err(TicketError::Altered);
    }
    Ok(chars_of(len))
}

/// Characters of base32 without padding (RFC 4648, section 6).
fn chars_of(bytes: usize) -> usize {
    (bytes * 8).div_ceil(5)
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = sha256(&[b"chartmesh/1/ticket-text", body]);
    *hash.first_chunk().expect("5 bytes of 32")
}

fn read(body: &[u8]) -> Option<Ticket> {
    let (_, rest) = body.split_first_chunk::<LENGTH_BYTES>()?;
    let (network, rest) = rest.split_first_chunk()?;
    let (inviter, rest) = rest.split_first_chunk()?;
    let (expiry, rest) = rest.split_first_chunk()?;
    let (secret, rest) = rest.split_first_chunk::<SECRET_BYTES>()?;
    let (count, mut rest) = rest.split_first()?;
    if usize::from(*count) > NODE_ADDRESSES_MAX {
        return None;
    }
    let mut addresses = Vec::new();
    for _ in 0..*count {
        let (len, behind) = rest.split_first()?;
        let (address, behind) = behind.split_at_checked(usize::from(*len))?;
        addresses.push(Bytes::copy_from_slice(address));
        rest = behind;
    }
    rest.is_empty().then(|| Ticket {
        network: NetworkId(*network),
        inviter: NodeKey(*inviter),
        addresses,
        expiry: Timestamp(u64::from_be_bytes(*expiry)),
        secret: Zeroizing::new(*secret),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            network: NetworkId([1; 32]),
            inviter: NodeKey([2; 32]),
            addresses: vec![Bytes::from_static(&[4, 127, 0, 0, 1, 6, 28, 252])],
            expiry: Timestamp(1_795_000_000_000),
            secret: Zeroizing::new([3; 16]),
        }
    }

    #[test]
    fn a_ticket_reads_back_whatever_case_and_spaces_it_was_pasted_with() {
        let text = ticket().to_text().unwrap();

        assert!(text.starts_with("chartmesh1"));
        assert!(
            text.bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        );
        assert!(text.parse::<Ticket>() == Ok(ticket()));
        let pasted = format!("  {}\n", text.to_ascii_uppercase());
        assert!(pasted.parse::<Ticket>() == Ok(ticket()));
    }

    #[test]
    fn a_ticket_cut_off_anywhere_says_so() {
        let text = ticket().to_text().unwrap();
        assert!(text.parse::<Ticket>().is_ok());

        let mut shortest = ticket();
        shortest.addresses.clear();
        let least = shortest.to_text().unwrap().len();
        for found in PREFIX.len()..text.len() {
            let is_stated = found >= PREFIX.len() + LENGTH_CHARS;
            let expected = if is_stated { text.len() } else { least };
            let error = TicketError::Truncated { found, expected };
            assert!(text[..found].parse::<Ticket>() == Err(error), "{found}");
        }
    }

    #[test]
    fn a_ticket_with_one_other_character_is_refused() {
        let text = ticket().to_text().unwrap();
        assert!(text.parse::<Ticket>().is_ok());

        for at in 0..text.len() {
            let other = if &text[at..=at] == "a" { "b" } else { "a" };
            let altered = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert!(altered.parse::<Ticket>().is_err(), "{at}");
        }
        let longer = format!("{}a", *text);
        assert_eq!(longer.parse::<Ticket>(), Err(TicketError::Altered));
    }

    #[test]
    fn a_ticket_of_another_version_or_another_text_is_no_ticket() {
        let text = ticket().to_text().unwrap();
        assert!(text.parse::<Ticket>().is_ok());

        let later = text.replacen("chartmesh1", "chartmesh2", 1);

        assert_eq!(later.parse::<Ticket>(), Err(TicketError::Prefix));
        assert_eq!("".parse::<Ticket>(), Err(TicketError::Prefix));
    }

    #[test]
    fn a_ticket_carries_no_more_addresses_than_the_limit() {
        let mut ticket = ticket();
        ticket.addresses = vec![Bytes::from(vec![7; NODE_ADDRESS_BYTES_MAX]); NODE_ADDRESSES_MAX];
        let largest = ticket.to_text().unwrap();
        assert!(largest.parse::<Ticket>() == Ok(ticket.clone()));

        ticket.addresses.push(Bytes::from_static(&[7]));

        assert_eq!(ticket.to_text(), Err(TicketError::Addresses));
        ticket.addresses = vec![Bytes::from(vec![7; NODE_ADDRESS_BYTES_MAX + 1])];
        assert_eq!(ticket.to_text(), Err(TicketError::Addresses));
    }

    #[test]
    fn the_inviter_can_keep_the_key_without_the_secret() {
        let one = ticket();
        let mut other = ticket();
        other.secret = Zeroizing::new([4; 16]);

        assert_eq!(one.name(), ticket_name(&one.key()));
        assert_ne!(one.key()[..16], one.secret[..]);
        assert_ne!(one.name(), other.name());
    }

    /// A text of these bytes, its length and checksum set right.
    fn text_of(mut bytes: Vec<u8>, stated: usize) -> String {
        bytes[..LENGTH_BYTES].copy_from_slice(&(stated as u16).to_be_bytes());
        let sum = checksum(&bytes);
        bytes.extend_from_slice(&sum);
        format!(
            "{PREFIX}{}",
            BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()
        )
    }

    #[test]
    fn a_ticket_that_states_a_length_or_number_of_addresses_none_can_have_is_refused() {
        let mut most = ticket();
        most.addresses = vec![Bytes::new(); NODE_ADDRESSES_MAX];
        let text = most.to_text().unwrap().to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(&text.as_bytes()[PREFIX.len()..]);
        let mut body = bytes.unwrap();
        body.truncate(body.len() - CHECKSUM_BYTES);
        let len = body.len() + CHECKSUM_BYTES;
        let read = |body: &[u8], stated| text_of(body.to_vec(), stated).parse::<Ticket>();
        assert!(read(&body, len) == Ok(most));

        assert!(matches!(
            read(&body, TICKET_BYTES_MAX),
            Err(TicketError::Truncated { .. })
        ));
        let altered = Err(TicketError::Altered);
        assert!(read(&body, TICKET_BYTES_MAX + 1) == altered);
        assert!(read(&body, FIXED_BYTES + CHECKSUM_BYTES - 1) == altered);
        body[FIXED_BYTES - 1] += 1;
        body.push(0);
        assert!(read(&body, len + 1) == altered);
    }
}
