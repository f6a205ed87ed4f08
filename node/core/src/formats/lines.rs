//! NDJSON: one resource a line, taken apart as it comes.
//!
//! Holds one line at most, so that the size of an input costs no memory.

use bytes::Bytes;

use super::report::{At, FormatError};
use crate::types::limits::LINE_MAX_BYTES;

/// One line that is not blank.
#[derive(Clone, PartialEq, Eq)]
pub struct Line {
    /// Counted from 1, blank lines included.
    pub number: u64,
    /// Its bytes, without the end of the line; an error where it is too long to be held.
    pub content: Result<Bytes, FormatError>,
}

/// Lines of an input that comes in parts.
#[derive(Default)]
pub struct Lines {
    open: Vec<u8>,
    is_too_long: bool,
    ended: u64,
}

impl Lines {
    /// Lines that end within this part.
    pub fn push(&mut self, part: &[u8]) -> Vec<Line> {
        let mut found = Vec::new();
        let mut pieces = part.split(|byte| *byte == b'\n');
        let last = pieces.next_back().unwrap_or_default();
        for piece in pieces {
            self.add(piece);
            found.extend(self.close());
        }
        self.add(last);
        found
    }

    /// The last line, which no line end follows.
    pub fn end(&mut self) -> Option<Line> {
        self.close()
    }

    fn add(&mut self, piece: &[u8]) {
        self.is_too_long |= self.open.len() + piece.len() > LINE_MAX_BYTES;
        if self.is_too_long {
            self.open = Vec::new();
        } else {
            self.open.extend_from_slice(piece);
        }
    }

    fn close(&mut self) -> Option<Line> {
        let mut bytes = std::mem::take(&mut self.open);
        let is_too_long = std::mem::take(&mut self.is_too_long);
        self.ended += 1;
        let number = self.ended;
        if is_too_long {
            let error = FormatError::Limit {
                what: "length of a line",
                at: At::default(),
            };
            return Some(Line {
                number,
                content: Err(error),
            });
        }
        if number == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        let bytes = Bytes::from(bytes);
        let content = bytes.slice_ref(bytes.trim_ascii());
        (!content.is_empty()).then_some(Line {
            number,
            content: Ok(content),
        })
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What the beginning of an input says of its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line.
    Lines,
    /// Something else, told apart where it is read.
    Whole,
    /// The beginning is too short to tell.
    Unclear,
}

/// Tells lines from one object: in JSON nothing that begins with a brace follows a closing brace.
pub fn form(beginning: &[u8]) -> Form {
    let bytes = beginning.strip_prefix(BYTE_ORDER_MARK).unwrap_or(beginning);
    let mut rest = bytes.trim_ascii_start();
    if rest.is_empty() {
        return Form::Unclear;
    }
    if !rest.starts_with(b"{") {
        return Form::Whole;
    }
    let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
        return Form::Unclear;
    };
    let first = rest[..end].trim_ascii();
    rest = rest[end..].trim_ascii_start();
    match (first.ends_with(b"}"), rest.first()) {
        (false, _) => Form::Whole,
        (true, None) => Form::Unclear,
        (true, Some(b'{')) => Form::Lines,
        (true, Some(_)) => Form::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number and text of each line, the input cut into parts of this many bytes.
    fn taken(input: &[u8], part_bytes: usize) -> Vec<(u64, Option<String>)> {
        let mut lines = Lines::default();
        let mut found: Vec<Line> = Vec::new();
        for part in input.chunks(part_bytes) {
            found.extend(lines.push(part));
        }
        found.extend(lines.end());
        let text = |bytes: Bytes| String::from_utf8_lossy(&bytes).into_owned();
        found
            .into_iter()
            .map(|line| (line.number, line.content.ok().map(text)))
            .collect()
    }

    #[test]
    fn lines_are_the_same_however_the_input_is_cut() {
        let input = "\u{feff}{\"a\":1}\r\n\n  \r\n {\"b\":\"\u{e9}\"} \n{\"c\":3}".as_bytes();
        let expected = [
            (1, Some("{\"a\":1}".to_owned())),
            (4, Some("{\"b\":\"\u{e9}\"}".to_owned())),
            (5, Some("{\"c\":3}".to_owned())),
        ];

        for part_bytes in [1, 2, 3, 7, 1_000] {
            assert_eq!(taken(input, part_bytes), expected, "{part_bytes}");
        }
        assert_eq!(taken(b"", 1), []);
        assert_eq!(taken(b"\n\r\n \n", 1), []);
        assert_eq!(taken(b"x\n", 9), [(1, Some("x".to_owned()))]);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_and_the_next_is_read() {
        let mut input = vec![b'x'; LINE_MAX_BYTES];
        input.extend_from_slice(b"\ny");
        let lines = taken(&input, 1 << 20);
        assert!(lines[0].1.is_some());
        input.insert(0, b'x');

        let lines = taken(&input, 1 << 20);

        assert_eq!(lines, [(1, None), (2, Some("y".to_owned()))]);
    }

    #[test]
    fn the_form_is_told_from_the_beginning() {
        for lines in [
            "{\"a\":1}\n{\"a\":2}\n",
            "{}\r\n\r\n{",
            "\u{feff}\n\n {} \n {",
            "{\"bad\": }\n{",
        ] {
            assert_eq!(form(lines.as_bytes()), Form::Lines, "{lines}");
        }
        for whole in [
            "{\n \"a\": {}\n}\n",
            "{\"a\":\n{}\n}",
            "[{}\n,{}]",
            "text",
            "<x/>",
            "{\"a\":{}\n}",
            "{}\nx",
        ] {
            assert_eq!(form(whole.as_bytes()), Form::Whole, "{whole}");
        }
        for unclear in ["", "\n", "{\"a\":1}", "{\"a\":1}\n", "{\"a\""] {
            assert_eq!(form(unclear.as_bytes()), Form::Unclear, "{unclear}");
        }
    }
}
