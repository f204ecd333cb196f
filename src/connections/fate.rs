//! Whether the response that switches is sent: told by its body, awaited by the connection's task.

use std::sync::{
    Arc,
    atomic::{
        AtomicU8,
        Ordering::{AcqRel, Acquire},
    },
};

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

/// What is known about the response: its [`Fate`], and which [`Maker`]s are gone.
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
