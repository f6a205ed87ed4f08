//! Floods of HTTP/2 frames on streams of a member.

use futures::AsyncWriteExt;

use crate::{
    ALONE, Piece, frame,
    raw::{Ears, muxed, pour},
    repeated,
    town::{HOSTILE, Town},
};

/// Rapid reset, CONTINUATION, empty DATA, PING and SETTINGS (RUSTSEC-2023-0034, 2024-0003, 2024-0332,
/// 2026-0258), each on a stream of a member.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_floods_of_a_member_do_not_keep_the_others_waiting() {
    let _alone = ALONE.lock().await;
    let town = Town::found("").await;
    let call = frame::call();
    let rapid_reset = |number: u64| {
        let begin = |number| {
            let stream = frame::stream(number);
            [
                frame::http(frame::HEADERS, frame::END_HEADERS, stream, &call),
                frame::http(frame::RESET, 0, stream, &8_u32.to_be_bytes()),
            ]
            .concat()
        };
        (number * 16..(number + 1) * 16).flat_map(begin).collect()
    };
    let continuation = |number: u64| match number {
        0 => frame::http(frame::HEADERS, 0, 1, &call),
        _ => {
            // A header of 8 KiB under a new name, and no end of headers ever.
            let value = [0x7f, 0x81, 0x3f, 0].map(|_| b'a');
            let name = format!("x-{:013}", number);
            let mut header = vec![0, 15];
            header.extend(name.as_bytes());
            header.extend([0x7f, 0x81, 0x3f]);
            header.extend(value.repeat(2_048));
            frame::http(frame::CONTINUATION, 0, 1, &header)
        }
    };
    let empty_data = |number: u64| match number {
        0 => frame::http(frame::HEADERS, frame::END_HEADERS, 1, &call),
        _ => frame::http(frame::DATA, 0, 1, &[]).repeat(256),
    };
    let ping = |_: u64| frame::http(frame::PING, 0, 0, &[7; 8]).repeat(256);
    let settings = |_: u64| frame::http(frame::SETTINGS, 0, 0, &[]).repeat(256);
    let nothing = Ears::Open { owed: 0 };
    // Each ping and each change of settings is owed an answer of its length.
    let (pongs, agreed) = (Ears::Open { owed: 17 * 256 }, Ears::Open { owed: 9 * 256 });
    let pieces: [(&str, &Piece<'_>, Ears); 7] = [
        ("rapid reset", &rapid_reset, nothing),
        ("continuation", &continuation, nothing),
        ("empty data", &empty_data, nothing),
        ("pings", &ping, pongs),
        ("pings whose answers are not read", &ping, Ears::Deaf),
        ("settings", &settings, agreed),
        ("settings whose answers are not read", &settings, Ears::Deaf),
    ];

    for (name, piece, ears) in pieces {
        let flood = repeated(async |left| {
            let muxed = muxed(HOSTILE, town.tcp, &town.rogue).await.ok()?;
            let mut stream = muxed.open(&town.protocol()).await.ok()?;
            let begin = [frame::PREFACE, &frame::http(frame::SETTINGS, 0, 0, &[])].concat();
            stream.write_all(&begin).await.ok()?;
            Some(pour(stream, left, ears, piece).await)
        });

        let (streams, poured) = town.survives(name, flood).await;

        assert!(streams > 0 && poured.pieces > 0, "{name}");
        // What HTTP/2 has a rule against ends the connection.
        let is_forbidden = ["rapid reset", "continuation"].contains(&name);
        assert!(poured.ended || !is_forbidden, "{name}");
    }
}
