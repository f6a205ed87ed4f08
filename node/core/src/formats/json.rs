//! JSON as bytes: one pass that refuses what readers disagree about, and a canonical form for hashing.
//!
//! Duplicate keys, lone surrogates and numbers beyond a double are refused because two programs read
//! them as two different records. No recursion: depth costs no stack.

use std::{borrow::Cow, mem};

use super::report::{At, FormatError};
use crate::types::limits::{INPUT_MAX_BYTES, JSON_DEPTH_MAX, JSON_KEYS_MAX, JSON_NUMBER_CHARS_MAX};

/// Checks that an input is JSON that every reader understands alike; a byte order mark is tolerated.
///
/// # Errors
/// [`FormatError::Json`], [`FormatError::Limit`] or [`FormatError::DuplicateKey`].
pub fn check(input: &[u8]) -> Result<(), FormatError> {
    let mut scanner = Scanner::new(text(input)?);
    while scanner.next()?.is_some() {}
    Ok(())
}

/// The content of a resource in one form: keys sorted, no space between tokens, strings escaped alike,
/// numbers as written, without `meta.lastUpdated` and `meta.versionId`, which a server sets.
///
/// # Errors
/// As [`check`].
pub fn canonical(input: &[u8]) -> Result<Vec<u8>, FormatError> {
    let mut scanner = Scanner::new(text(input)?);
    let mut open: Vec<Open<'_>> = Vec::new();
    let mut root = Vec::new();
    while let Some(event) = scanner.next()? {
        let value = match event {
            Event::ObjectStart => {
                open.push(Open::Object {
                    members: Vec::new(),
                    key: Cow::Borrowed(""),
                });
                continue;
            }
            Event::ArrayStart => {
                open.push(Open::Array(Vec::new()));
                continue;
            }
            Event::Key(name) => {
                if let Some(Open::Object { key, .. }) = open.last_mut() {
                    *key = name;
                }
                continue;
            }
            Event::ObjectEnd | Event::ArrayEnd => match open.pop() {
                Some(closed) => closed.close(),
                None => continue,
            },
            Event::Text(text) => {
                let mut value = Vec::with_capacity(text.len() + 2);
                write_text(&mut value, &text);
                value
            }
            Event::Number(verbatim) | Event::Word(verbatim) => verbatim.as_bytes().to_vec(),
        };
        attach(&mut open, &mut root, value);
    }
    Ok(root)
}

fn attach(open: &mut [Open<'_>], root: &mut Vec<u8>, value: Vec<u8>) {
    let in_meta = match &*open {
        [Open::Object { key, .. }, _] => key == "meta",
        _ => false,
    };
    let depth = open.len();
    match open.last_mut() {
        None => *root = value,
        Some(Open::Array(items)) => {
            if !items.is_empty() {
                items.push(b',');
            }
            items.extend_from_slice(&value);
        }
        Some(Open::Object { members, key }) => {
            let volatile = in_meta && matches!(&**key, "lastUpdated" | "versionId");
            let emptied = depth == 1 && key == "meta" && value == b"{}";
            if !volatile && !emptied {
                members.push((mem::take(key), value));
            }
        }
    }
}

enum Open<'a> {
    Object {
        members: Vec<(Cow<'a, str>, Vec<u8>)>,
        key: Cow<'a, str>,
    },
    Array(Vec<u8>),
}

impl Open<'_> {
    fn close(self) -> Vec<u8> {
        match self {
            Self::Array(items) => [b"[", items.as_slice(), b"]"].concat(),
            Self::Object { mut members, .. } => {
                members.sort_unstable();
                let mut out = vec![b'{'];
                for (index, (key, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_text(&mut out, key);
                    out.push(b':');
                    out.extend_from_slice(value);
                }
                out.push(b'}');
                out
            }
        }
    }
}

/// Writes a string with the fewest escapes of RFC 8259, section 7.
pub(super) fn write_text(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..0x20 => {
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// The input as text, without its byte order mark.
pub(super) fn text(input: &[u8]) -> Result<&str, FormatError> {
    if input.len() > INPUT_MAX_BYTES {
        return Err(limit("size of the input"));
    }
    let text = std::str::from_utf8(input).map_err(|error| FormatError::Json {
        offset: error.valid_up_to(),
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn limit(what: &'static str) -> FormatError {
    FormatError::Limit {
        what,
        at: At::default(),
    }
}

/// A token of a JSON text.
pub(super) enum Event<'a> {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    /// A key, unescaped.
    Key(Cow<'a, str>),
    /// A string, unescaped.
    Text(Cow<'a, str>),
    /// A number as written.
    Number(&'a str),
    /// `true`, `false` or `null`.
    Word(&'a str),
}

enum Frame {
    /// Where the object's keys begin among all that are open.
    Object {
        keys_from: usize,
    },
    Array,
}

enum Expect {
    Value,
    ValueOrEnd,
    KeyOrEnd,
    Key,
    CommaOrEnd,
    Nothing,
}

/// Gives the tokens of a JSON text one by one, and refuses what [`check`] refuses.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Frame>,
    keys: Vec<Cow<'a, str>>,
    expect: Expect,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            open: Vec::new(),
            keys: Vec::new(),
            expect: Expect::Value,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<Event<'a>>, FormatError> {
        self.skip_space();
        if let Expect::CommaOrEnd = self.expect
            && self.take(b',')
        {
            self.skip_space();
            self.expect = match self.open.last() {
                Some(Frame::Object { .. }) => Expect::Key,
                Some(Frame::Array) | None => Expect::Value,
            };
        }
        match (&self.expect, self.peek()) {
            (Expect::Nothing, None) => Ok(None),
            (Expect::Value | Expect::ValueOrEnd, Some(b'{')) => {
                self.at += 1;
                self.open(Frame::Object {
                    keys_from: self.keys.len(),
                })?;
                self.expect = Expect::KeyOrEnd;
                Ok(Some(Event::ObjectStart))
            }
            (Expect::Value | Expect::ValueOrEnd, Some(b'[')) => {
                self.at += 1;
                self.open(Frame::Array)?;
                self.expect = Expect::ValueOrEnd;
                Ok(Some(Event::ArrayStart))
            }
            (Expect::KeyOrEnd | Expect::CommaOrEnd, Some(b'}')) => self.close_object().map(Some),
            (Expect::ValueOrEnd | Expect::CommaOrEnd, Some(b']')) => self.close_array().map(Some),
            (Expect::Key | Expect::KeyOrEnd, Some(b'"')) => self.key().map(Some),
            (Expect::Value | Expect::ValueOrEnd, Some(_)) => self.scalar().map(Some),
            _ => Err(self.malformed()),
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let taken = self.peek() == Some(byte);
        self.at += usize::from(taken);
        taken
    }

    fn malformed(&self) -> FormatError {
        FormatError::Json { offset: self.at }
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn open(&mut self, frame: Frame) -> Result<(), FormatError> {
        if self.open.len() >= JSON_DEPTH_MAX {
            return Err(limit("nesting"));
        }
        self.open.push(frame);
        Ok(())
    }

    fn value_done(&mut self) {
        self.expect = if self.open.is_empty() {
            Expect::Nothing
        } else {
            Expect::CommaOrEnd
        };
    }

    fn close_object(&mut self) -> Result<Event<'a>, FormatError> {
        self.at += 1;
        let Some(Frame::Object { keys_from }) = self.open.pop() else {
            return Err(self.malformed());
        };
        let keys = &mut self.keys[keys_from..];
        keys.sort_unstable();
        if keys.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(FormatError::DuplicateKey { offset: self.at });
        }
        self.keys.truncate(keys_from);
        self.value_done();
        Ok(Event::ObjectEnd)
    }

    fn close_array(&mut self) -> Result<Event<'a>, FormatError> {
        self.at += 1;
        let Some(Frame::Array) = self.open.pop() else {
            return Err(self.malformed());
        };
        self.value_done();
        Ok(Event::ArrayEnd)
    }

    fn key(&mut self) -> Result<Event<'a>, FormatError> {
        let key = self.string()?;
        if let Some(Frame::Object { keys_from }) = self.open.last()
            && self.keys.len() - keys_from >= JSON_KEYS_MAX
        {
            return Err(limit("keys of one object"));
        }
        self.keys.push(key.clone());
        self.skip_space();
        if !self.take(b':') {
            return Err(self.malformed());
        }
        self.expect = Expect::Value;
        Ok(Event::Key(key))
    }

    fn scalar(&mut self) -> Result<Event<'a>, FormatError> {
        let event = match self.peek() {
            Some(b'"') => Event::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => Event::Number(self.number()?),
            _ => Event::Word(self.word()?),
        };
        self.value_done();
        Ok(event)
    }

    fn word(&mut self) -> Result<&'a str, FormatError> {
        let rest = &self.text[self.at..];
        let word = ["true", "false", "null"]
            .into_iter()
            .find(|word| rest.starts_with(word))
            .ok_or(self.malformed())?;
        self.at += word.len();
        Ok(&rest[..word.len()])
    }

    fn number(&mut self) -> Result<&'a str, FormatError> {
        let start = self.at;
        self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        }
        if self.take(b'.') {
            self.digits()?;
        }
        let exponent = self.take(b'e') || self.take(b'E');
        if exponent {
            let _sign = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let number = &self.text[start..self.at];
        if number.len() > JSON_NUMBER_CHARS_MAX {
            return Err(limit("length of a number"));
        }
        if exponent {
            let value: f64 = number.parse().map_err(|_| self.malformed())?;
            let (mantissa, _) = number.split_once(['e', 'E']).unwrap_or((number, ""));
            let is_zero = mantissa.bytes().all(|byte| !matches!(byte, b'1'..=b'9'));
            if value.is_infinite() || (value == 0.0 && !is_zero) {
                return Err(limit("exponent of a number"));
            }
        }
        Ok(number)
    }

    fn digits(&mut self) -> Result<(), FormatError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.malformed());
        }
        Ok(())
    }

    fn string(&mut self) -> Result<Cow<'a, str>, FormatError> {
        self.at += 1;
        let mut unescaped: Option<String> = None;
        loop {
            let start = self.at;
            while !matches!(self.peek(), None | Some(b'"' | b'\\' | 0..0x20)) {
                self.at += 1;
            }
            let plain = &self.text[start..self.at];
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(match unescaped {
                        None => Cow::Borrowed(plain),
                        Some(text) => Cow::Owned(text + plain),
                    });
                }
                Some(b'\\') => {
                    let mut text = unescaped.unwrap_or_default();
                    text.push_str(plain);
                    self.at += 1;
                    text.push(self.escape()?);
                    unescaped = Some(text);
                }
                _ => return Err(self.malformed()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, FormatError> {
        let letter = match self.peek() {
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return Err(self.malformed()),
        };
        self.at += 1;
        Ok(letter)
    }

    fn unicode(&mut self) -> Result<char, FormatError> {
        let first = self.hex()?;
        if !(0xd800..0xe000).contains(&first) {
            return char::from_u32(first).ok_or(self.malformed());
        }
        let lone = limit("lone surrogate");
        if first >= 0xdc00 || !(self.take(b'\\') && self.take(b'u')) {
            return Err(lone);
        }
        let second = self.hex()?;
        if !(0xdc00..0xe000).contains(&second) {
            return Err(lone);
        }
        char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(lone)
    }

    fn hex(&mut self) -> Result<u32, FormatError> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            value = value * 16 + digit.ok_or(self.malformed())?;
            self.at += 1;
        }
        Ok(value)
    }
}
