//! Whether the response that switches is sent: told by its body, awaited by the connection's task.

use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU8,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    task::Poll,
};

use http_body::SizeHint;

use super::control::Control;

/// The fate of the response that switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Fate {
    /// The HTTP server took it. The server hands over the connection once the response is written.
    Sent = 1,
    /// The client gets another response, or none.
    Replaced = 2,
    /// The outermost layer did not let it out.
    Withheld = 3,
}

/// The future that makes a response. The HTTP server drops it before it looks at the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Maker {
    /// That of the layer that switches.
    Layer = 4,
    /// That of the outermost layer.
    Outermost = 8,
}

/// The facts about the response: its [`Fate`], and which [`Maker`]s are gone.
#[derive(Debug, Default)]
pub(super) struct Known(AtomicU8);

impl Known {
    pub(super) fn fate(&self) -> Option<Fate> {
        match self.0.load(Acquire) & 3 {
            0 => None,
            1 => Some(Fate::Sent),
            2 => Some(Fate::Replaced),
            _ => Some(Fate::Withheld),
        }
    }

    /// Tells the fate, unless it is known. The response alone does, so nobody is in between.
    pub(super) fn tell(&self, fate: Fate) -> bool {
        let is_new = self.fate().is_none();
        if is_new {
            self.0.fetch_or(fate as u8, AcqRel);
        }
        is_new
    }

    pub(super) fn is_gone(&self, maker: Maker) -> bool {
        self.0.load(Acquire) & maker as u8 != 0
    }

    fn set_gone(&self, maker: Maker) {
        self.0.fetch_or(maker as u8, AcqRel);
    }
}

/// A part of the future that makes the response, which tells the body when the future is gone.
#[derive(Debug)]
pub(crate) struct Making {
    control: Arc<Control>,
    maker: Maker,
}

impl Making {
    pub(crate) fn new(control: &Arc<Control>, maker: Maker) -> Self {
        Self { control: Arc::clone(control), maker }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.control.known().set_gone(self.maker);
    }
}

/// Tells the task of a connection the fate of the response, once. If it is dropped before, the response is
/// not sent.
#[derive(Debug)]
pub(crate) struct Teller(Arc<Control>);

impl Teller {
    pub(crate) fn new(control: &Arc<Control>) -> Self {
        Self(Arc::clone(control))
    }

    pub(crate) fn tell(&self, fate: Fate) {
        self.0.tell(fate);
    }

    /// Whether the connection has ended, or is aborted. The handshake may have timed out.
    pub(crate) fn is_late(&self) -> bool {
        !self.0.is_open()
    }

    /// Makes a part of the future that gives the response to the HTTP server.
    pub(crate) fn making(&self, maker: Maker) -> Making {
        Making::new(&self.0, maker)
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.tell(Fate::Withheld);
    }
}

/// The body of a 101: empty, and the only part of a response that can tell whether it is sent. To
/// have the server ask, it says that it has not ended, and not how long it is.
///
/// hyper hands over the connection after every response to a request with an `Upgrade` header, not
/// only after a 101. If an outer layer answers something else in place of our 101, the handler would
/// talk after that answer, unless the handler knows. A layer that throws the response away does
/// not do what hyper does:
///
/// 1. The future that made the response is gone before hyper looks at the response.
/// 2. hyper asks the body whether it has ended and, if not, how long it is, to choose the framing.
/// 3. If the status is 101, it then drops the body without polling it. If a layer left the body
///    alone and changed the status, hyper polls the body, unless the new status has no body either.
///
/// A question for the size before step 2 comes from a layer, which may act on the answer. It is told
/// that the body is empty; otherwise a compressor would take it for a body worth compressing. Since
/// a layer may write the size into the headers, the answer stays the same from then on.
///
/// Under [`Outermost`](crate::Outermost) this body is put in at the exit, where no layer is left
/// that could ask.
#[derive(Debug)]
pub(crate) struct SwitchingBody {
    teller: Teller,
    /// The future that is gone when the HTTP server asks.
    maker: Maker,
    /// Some layer was told that the size is zero.
    said_empty: AtomicBool,
    /// The first question of step 2 has come.
    asked: AtomicBool,
    /// And the second.
    sized: AtomicBool,
    /// It was polled, so the response was not sent as a 101.
    polled: bool,
}

impl SwitchingBody {
    pub(crate) fn new(teller: Teller, maker: Maker) -> Self {
        Self {
            teller,
            maker,
            said_empty: AtomicBool::new(false),
            asked: AtomicBool::new(false),
            sized: AtomicBool::new(false),
            polled: false,
        }
    }
}

/// The methods of a [`Body`](http_body::Body) without frames.
impl SwitchingBody {
    pub(crate) fn poll_end(&mut self) -> Poll<()> {
        self.polled = true;
        Poll::Ready(())
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        if !self.teller.0.is_made(self.maker) {
            return true;
        }
        self.asked.store(true, Relaxed);
        self.said_empty.load(Relaxed)
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let question = if self.asked.load(Relaxed) { &self.sized } else { &self.said_empty };
        question.store(true, Relaxed);
        if self.said_empty.load(Relaxed) { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

impl Drop for SwitchingBody {
    fn drop(&mut self) {
        // A body that has ended is not asked for its size.
        let sized = self.sized.load(Relaxed) || self.said_empty.load(Relaxed);
        let is_sent = self.asked.load(Relaxed) && sized && !self.polled;
        self.teller.tell(if is_sent { Fate::Sent } else { Fate::Replaced });
    }
}
