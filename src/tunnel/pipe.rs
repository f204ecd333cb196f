//! One direction of a tunnel: bytes from a reader to a writer, with back-pressure, flush and half-close.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    error::Side,
    frames::{Frames, GOING_AWAY},
};

thread_local! {
    /// The buffer for reads. A tunnel needs it only while it is polled, so an idle one has none.
    static BUFFER: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// As large as what a socket returns at once. The larger the reads, the fewer they are.
const BUFFER_SIZE: usize = 64 * 1024;

/// After so many reads, other tasks get their turn.
const READS: usize = 16;

/// One direction.
#[derive(Debug)]
pub(super) struct Direction {
    /// The bytes that the writer did not take yet, from `written` on.
    pending: Vec<u8>,
    written: usize,
    needs_flush: bool,
    state: State,
    /// The frames that go by, if a close frame may be put between them.
    frames: Option<Frames>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// The next end of a frame is the end of what the writer gets. A close frame follows.
    Closing,
    /// The close frame is written. Bytes that are read are dropped.
    Closed,
    /// The writer takes nothing more. Bytes that are read are dropped.
    Deaf,
    /// The reader is at its end, and the writer is to be shut down.
    Eof,
    Done,
}

/// Why a direction has ended early.
#[derive(Debug)]
pub(super) enum Broken {
    Reader(io::Error),
    Writer(io::Error),
}

impl Broken {
    /// Names the side that broke.
    pub(super) fn of(self, reader: Side, writer: Side) -> (Side, io::Error) {
        match self {
            Self::Reader(error) => (reader, error),
            Self::Writer(error) => (writer, error),
        }
    }
}

impl Direction {
    /// Makes a direction whose reader has read ahead.
    pub(super) fn new(read_ahead: Bytes, frames: Option<Frames>) -> Self {
        let mut direction = Self {
            pending: Vec::new(),
            written: 0,
            needs_flush: false,
            state: State::Open,
            frames,
        };
        if let Some(frames) = &mut direction.frames {
            frames.follow(&read_ahead);
        }
        direction.pending = read_ahead.into();
        direction
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether there are bytes that the writer did not take yet.
    pub(super) fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether nothing that is read gets to the writer any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.state, State::Deaf | State::Done)
    }

    /// Has what is read discarded, because the writer takes nothing more.
    pub(super) fn discard(&mut self) {
        (self.pending, self.written, self.needs_flush) = (Vec::new(), 0, false);
        self.state = if self.state == State::Eof { State::Done } else { State::Deaf };
    }

    /// Has the WebSocket in this direction closed with 1001 after the frame that is being written.
    pub(super) fn close_websocket(&mut self) {
        if self.state == State::Open {
            self.state = State::Closing;
        }
    }

    /// Moves bytes until the reader has none, or the writer takes none. `moved` is set if there were
    /// any. Ready when the reader is at its end and the writer is shut down.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        moved: &mut bool,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        for _ in 0..READS {
            self.try_close();
            ready!(self.poll_pending(cx, writer, moved)).map_err(Broken::Writer)?;
            match self.state {
                State::Done => return Poll::Ready(Ok(())),
                State::Eof => {
                    ready!(Pin::new(&mut *writer).poll_shutdown(cx)).map_err(Broken::Writer)?;
                    self.state = State::Done;
                    return Poll::Ready(Ok(()));
                }
                State::Open | State::Closing | State::Closed | State::Deaf => {}
            }
            // Taken and put back, so that an IO that is a tunnel itself would find none, and make its
            // own.
            let mut buffer = BUFFER.take().unwrap_or_else(|| vec![0; BUFFER_SIZE].into());
            let moving = self.poll_move(cx, reader, writer, &mut buffer, moved);
            BUFFER.set(Some(buffer));
            if moving?.is_pending() {
                return self.poll_flush(cx, writer);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once, and writes what was read. Pending if there is nothing to read.
    fn poll_move<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        reader: &mut R,
        writer: &mut W,
        buffer: &mut [u8],
        moved: &mut bool,
    ) -> Result<Poll<()>, Broken>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let mut buf = ReadBuf::new(buffer);
        if Pin::new(reader).poll_read(cx, &mut buf).map_err(Broken::Reader)?.is_pending() {
            return Ok(Poll::Pending);
        }
        let mut bytes = buf.filled();
        if bytes.is_empty() {
            self.state = if self.state == State::Deaf { State::Done } else { State::Eof };
            return Ok(Poll::Ready(()));
        }
        *moved = true;
        bytes = self.pass(bytes);
        while !bytes.is_empty() {
            match Pin::new(&mut *writer).poll_write(cx, bytes).map_err(Broken::Writer)? {
                Poll::Ready(0) => return Err(Broken::Writer(io::ErrorKind::WriteZero.into())),
                Poll::Ready(written) => {
                    self.needs_flush = true;
                    bytes = &bytes[written..];
                }
                Poll::Pending => {
                    self.pending.extend_from_slice(bytes);
                    break;
                }
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Returns what of the bytes the writer gets.
    fn pass<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match (self.state, &mut self.frames) {
            (State::Closed | State::Deaf, _) => &[],
            (State::Closing, Some(frames)) => &bytes[..frames.follow_one(bytes)],
            (_, Some(frames)) => {
                frames.follow(bytes);
                bytes
            }
            (_, None) => bytes,
        }
    }

    /// Writes the close frame, if this is the place for it.
    fn try_close(&mut self) {
        let Some(frames) = self.frames.as_ref().filter(|_| self.state == State::Closing) else {
            return;
        };
        if frames.has_closed() {
            // The upstream has said so itself.
            self.state = State::Open;
        } else if frames.is_between() {
            self.pending.extend_from_slice(&GOING_AWAY);
            self.state = State::Closed;
        }
    }

    fn poll_pending<W>(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut W,
        moved: &mut bool,
    ) -> Poll<io::Result<()>>
    where
        W: AsyncWrite + Unpin,
    {
        while self.written < self.pending.len() {
            let bytes = &self.pending[self.written..];
            match ready!(Pin::new(&mut *writer).poll_write(cx, bytes))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
            (self.needs_flush, *moved) = (true, true);
        }
        if self.written > 0 {
            // The memory goes as well: a tunnel that is not behind has none.
            (self.pending, self.written) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    /// Flushes, while there is nothing to read. Always pending, because the reader is.
    fn poll_flush<W>(&mut self, cx: &mut Context<'_>, writer: &mut W) -> Poll<Result<(), Broken>>
    where
        W: AsyncWrite + Unpin,
    {
        if self.needs_flush {
            ready!(Pin::new(writer).poll_flush(cx)).map_err(Broken::Writer)?;
            self.needs_flush = false;
        }
        Poll::Pending
    }
}
