//! Who stands between all nodes: loses, delays, repeats and alters, as the seed says.

use bytes::Bytes;
use chartmesh_tests::{Fate, Frame, Kind, net::Middle};

use crate::{
    history::{below, dice},
    shared::{Noise, Sharing},
};

/// How long a frame may be late, in milliseconds.
const LATE_MAX_MS: u32 = 20_000;

/// Draws the fate of each frame.
pub(crate) fn middle(seed: u64, sharing: Sharing) -> Middle {
    let mut dice = dice(seed, "network");
    Box::new(move |frame: &mut Frame| {
        let mut shared = sharing.lock().expect("nobody panics while sharing");
        let Noise {
            breaks,
            loses,
            delays,
            repeats,
            alters,
            spoils,
        } = shared.noise;
        if let Some(spoil) = spoils
            && frame.rpc == spoil.rpc
            && (frame.kind == Kind::Question) != spoil.answers
        {
            frame.bytes = spoiled(&frame.bytes, below(&mut dice, 1_000));
            shared.counts.troubled += 1;
            shared.disturb_key(frame.from);
            shared.disturb_key(frame.to);
            return Fate::Deliver;
        }
        if breaks + loses + delays + repeats + alters == 0 {
            return Fate::Deliver;
        }
        let drawn = below(&mut dice, 1_000);
        let late_ms = u64::from(below(&mut dice, LATE_MAX_MS));
        let place = below(&mut dice, frame.bytes.len().max(1) as u32) as usize;
        let fate = if drawn < breaks {
            Fate::Break
        } else if drawn < breaks + loses {
            Fate::Lose
        } else if drawn < breaks + loses + delays {
            Fate::Delay(late_ms)
        } else if drawn < breaks + loses + delays + repeats {
            Fate::Twice(late_ms / 10)
        } else if drawn < breaks + loses + delays + repeats + alters && !frame.bytes.is_empty() {
            let mut bytes = frame.bytes.to_vec();
            // One in three is cut short, the others have one bit flipped.
            if late_ms % 3 == 0 {
                bytes.truncate(place);
            } else {
                bytes[place] ^= 1 << (drawn % 8);
            }
            frame.bytes = Bytes::from(bytes);
            Fate::Deliver
        } else {
            return Fate::Deliver;
        };
        shared.counts.troubled += 1;
        shared.disturb_key(frame.from);
        shared.disturb_key(frame.to);
        fate
    })
}

/// Rubbish in place of a message, or one bit of it flipped.
fn spoiled(bytes: &Bytes, drawn: u32) -> Bytes {
    if bytes.is_empty() || drawn % 2 == 0 {
        return Bytes::from_static(&[0xff; 7]);
    }
    let mut bytes = bytes.to_vec();
    let place = drawn as usize * bytes.len() / 1_000;
    bytes[place] ^= 1 << (drawn / 2 % 8);
    Bytes::from(bytes)
}
