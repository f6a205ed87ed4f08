//! Frames of Yamux and of HTTP/2 (RFC 9113, section 4.1).

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RESET: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PING: u8 = 6;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const END_HEADERS: u8 = 4;

/// A Yamux header: kind, flags, stream, and a length or a credit.
pub(crate) fn yamux(kind: u8, flags: u16, stream: u32, len: u32) -> Vec<u8> {
    let mut bytes = vec![0, kind];
    bytes.extend(flags.to_be_bytes());
    bytes.extend(stream.to_be_bytes());
    bytes.extend(len.to_be_bytes());
    bytes
}

/// An HTTP/2 frame.
pub(crate) fn http(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).expect("a small payload");
    let mut bytes = len.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// The headers of a gRPC call, in the plainest HPACK (RFC 7541): a method, a scheme, a path.
pub(crate) fn call() -> Vec<u8> {
    let mut bytes = vec![0x83, 0x86];
    for (name, value) in [
        (":path", "/chartmesh.peer.v1.Peer/Members"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(u8::try_from(text.len()).expect("a short text"));
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

/// Streams of a client have odd numbers.
pub(crate) fn stream(number: u64) -> u32 {
    u32::try_from(number).map_or(1, |number| (number % (1 << 30)) * 2 + 1)
}
