//! The meaning of an input: how a server is set up, and what its client sends.

use libfuzzer_sys::arbitrary::{self, Arbitrary, Unstructured};

/// How a server is set up.
#[derive(Arbitrary, Clone, Debug, Default)]
pub struct Setup {
    pub registrations: Vec<Registration>,
    pub server_preference: bool,
    pub required: bool,
    pub advertise: bool,
    pub strip: bool,
    pub extended_connect: bool,
    pub forward_at_capacity: bool,
    /// There is no place at all.
    pub full: bool,
    /// A drain began before the connection.
    pub draining: bool,
    pub outer: Outer,
    pub outermost: bool,
    pub server: Server,
    pub inner_reads: bool,
    /// The inner service says yes if it is asked.
    pub inner_agrees: bool,
    pub inner_run: Run,
}

/// A layer between the `UpgradeLayer` and the outermost one.
#[derive(Arbitrary, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Outer {
    #[default]
    None,
    /// Answers with a 500 in place of a 101.
    Replaces,
}

#[derive(Arbitrary, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Server {
    #[default]
    Http1,
    HalfClose,
    Auto,
}

#[derive(Arbitrary, Clone, Debug)]
pub struct Registration {
    pub pattern: Pattern,
    /// `None` for the inner service.
    pub handler: Option<Handler>,
}

/// The registration of a handler.
#[derive(Clone, Copy, Debug)]
pub struct Pattern(pub &'static str);

impl<'a> Arbitrary<'a> for Pattern {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        const PATTERNS: [&str; 8] =
            ["foo", "foo/*", "foo/1", "Bar/2", "websocket", "h2c", "TLS/*", "a"];
        u.choose(&PATTERNS).copied().map(Self)
    }
}

#[derive(Arbitrary, Clone, Debug)]
pub struct Handler {
    /// Accepts only requests whose number is even.
    pub only_even: bool,
    pub body_limit: u8,
    pub chunked: bool,
    pub optional: bool,
    pub delay: Delay,
    pub answer: Answer,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    None,
    Short,
    Endless,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Answer {
    Switch(Run),
    Reject(Status),
    Panic,
}

/// A status of a rejection.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Status(u8);

impl Status {
    pub fn code(self) -> u16 {
        of(self.0, &[200, 403, 426, 101, 503])
    }
}

/// The behaviour of a function on an upgraded connection.
#[derive(Arbitrary, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Run {
    /// Reads to the end.
    #[default]
    Read,
    /// Writes this many hundred bytes first.
    Write(u8),
    Leave,
    Fail,
    Panic,
}

/// A part of the client's stream.
#[derive(Arbitrary, Clone, Debug)]
pub enum Message {
    Request(Sent),
    Raw(Vec<u8>),
}

/// A well-formed request.
#[derive(Arbitrary, Clone, Debug)]
pub struct Sent {
    method: u8,
    http_10: bool,
    lines: Vec<Line>,
    body: Body,
}

impl Sent {
    pub fn bytes(&self, number: usize) -> Vec<u8> {
        let method =
            of(self.method, &["GET", "POST", "HEAD", "OPTIONS", "CONNECT", "TRACE", "BREW"]);
        let target = if method == "CONNECT" { "a.test:".to_owned() } else { "/".to_owned() };
        let minor = u8::from(!self.http_10);
        let mut bytes = format!("{method} {target}{number} HTTP/1.{minor}\r\n").into_bytes();
        for line in &self.lines {
            line.write(&mut bytes);
        }
        self.body.write(&mut bytes);
        bytes
    }
}

#[derive(Arbitrary, Clone, Debug)]
pub enum Line {
    /// A good offer.
    Offer(u8),
    Upgrade(Vec<Part>),
    Connection(Vec<Part>),
    Other(u8),
}

impl Line {
    pub fn write(&self, bytes: &mut Vec<u8>) {
        let value = |parts: &[Part]| -> Vec<u8> { parts.iter().flat_map(Part::bytes).collect() };
        match self {
            Self::Offer(which) => {
                let protocol =
                    of(*which, &["foo", "FOO/1", "foo/2", "bar/2", "websocket", "TLS/1.2", "a"]);
                bytes.extend(format!("Connection: Upgrade\r\nUpgrade: {protocol}\r\n").bytes());
            }
            Self::Upgrade(parts) => {
                bytes.extend(b"Upgrade: ");
                bytes.extend(value(parts));
                bytes.extend(b"\r\n");
            }
            Self::Connection(parts) => {
                bytes.extend(b"cOnnection:");
                bytes.extend(value(parts));
                bytes.extend(b"\r\n");
            }
            Self::Other(which) => {
                let others = [
                    "Host: a.test\r\n",
                    "Expect: 100-continue\r\n",
                    "Expect: 100-Continue, x\r\n",
                    "Expect: x\r\n",
                    "HTTP2-Settings: AAMAAABk\r\n",
                    "X-Other: é\r\n",
                    "Cookie: a=b\r\n",
                    "Proxy-Connection: upgrade\r\n",
                    "Sec-WebSocket-Version: 13\r\n",
                ];
                bytes.extend(of(*which, &others).bytes());
            }
        }
    }
}

/// A part of a list in a header.
#[derive(Clone, Debug)]
pub enum Part {
    Known(&'static str),
    Byte(u8),
    Many(&'static str, usize),
}

const PARTS: [&str; 32] = [
    ",",
    ",",
    ", ",
    ",",
    ",\t",
    " ",
    "\t",
    "foo",
    "FOO",
    "foo/1",
    "foo/2",
    "bar/2",
    "f",
    "o",
    "websocket",
    "h2c",
    "TLS/1.2",
    "upgrade",
    "Upgrade",
    "keep-alive",
    "close",
    "http2-settings",
    "/",
    "\"",
    ";",
    "*",
    "a",
    "upgrades",
    "-",
    "1",
    "HTTP/1.1",
    "",
];

impl<'a> Arbitrary<'a> for Part {
    fn arbitrary(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let which = u8::arbitrary(u)?;
        Ok(match which {
            0..=191 => Self::Known(of(which, &PARTS)),
            192..=249 => Self::Byte(match u8::arbitrary(u)? {
                // No value has these.
                0..=8 | 10..=31 | 127 => b'x',
                byte => byte,
            }),
            250..=252 => Self::Many(of(which, &["a,", ",", "x"]), usize::from(u8::arbitrary(u)?)),
            253.. => Self::Many(of(which, &["a", " ", ","]), 8100 + usize::from(u8::arbitrary(u)?)),
        })
    }
}

impl Part {
    fn bytes(&self) -> Vec<u8> {
        match *self {
            Self::Known(text) => text.into(),
            Self::Byte(byte) => vec![byte],
            Self::Many(text, times) => text.repeat(times).into(),
        }
    }
}

#[derive(Arbitrary, Clone, Debug)]
pub enum Body {
    None,
    Length(Vec<u8>),
    Chunked(Vec<Vec<u8>>, bool),
}

impl Body {
    /// Appends the last headers and the body.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::None => bytes.extend(b"\r\n"),
            Self::Length(body) => {
                bytes.extend(format!("Content-Length: {}\r\n\r\n", body.len()).bytes());
                bytes.extend(body);
            }
            Self::Chunked(chunks, trailer) => {
                bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
                    bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                    bytes.extend(chunk);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(if *trailer {
                    &b"0\r\nUpgrade: foo\r\n\r\n"[..]
                } else {
                    b"0\r\n\r\n"
                });
            }
        }
    }
}

/// One of these.
pub fn of<T: Copy>(which: u8, all: &[T]) -> T {
    all[usize::from(which) % all.len()]
}
