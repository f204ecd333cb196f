//! The rows of the matrix, by the origin of their layers, and the kinds of layers.

mod axum;
mod bodies;
mod third_party;
mod tower;
mod tower_http;

use crate::harness::{Build, Column, Word};

/// Layers to put around a subject, and the outcomes expected of it.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) build: Build,
    /// The cells `Early`, `Body` and `WebSocket` in the column without `outermost()`.
    pub(crate) without: [Word; 3],
    /// The same in the column with it, and the reason, if not all of them work.
    pub(crate) except: Option<([Word; 3], &'static str)>,
}

impl Row {
    fn except(mut self, with: [Word; 3], reason: &'static str) -> Self {
        self.except = Some((with, reason));
        self
    }

    /// The cells expected in a column.
    pub(crate) fn expected(&self, column: Column) -> [Word; 3] {
        match (column, self.except) {
            (Column::Without, _) => self.without,
            (Column::With | Column::OnRouter, Some((with, _))) => with,
            (Column::With | Column::OnRouter, None) => WORKS,
        }
    }
}

pub(crate) const WORKS: [Word; 3] = [Word::Works; 3];
pub(crate) const FORWARDED: [Word; 3] = [Word::Forwarded; 3];
pub(crate) const EOF: [Word; 3] = [Word::Eof; 3];
pub(crate) const MALFORMED: [Word; 3] = [Word::Malformed; 3];

pub(crate) fn row(name: &'static str, kind: Kind, build: Build, without: [Word; 3]) -> Row {
    Row { name, kind, build, without, except: None }
}

/// All rows, under the names of their origins.
pub(crate) fn all() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("tower", tower::rows()),
        ("tower-http", tower_http::rows()),
        ("axum", axum::rows()),
        ("third parties", third_party::rows()),
        ("body wrappers", bodies::rows()),
    ]
}

/// The kind of a layer, by its effect on a switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Head,
    Framing,
    Gate,
    Limit,
    Router,
    Passes,
    HidesResponse,
    RebuildsResponse,
    PassesRequest,
    HidesRequest,
    RebuildsRequest,
    HoldsResponse,
    DropsExtensions,
}

impl Kind {
    /// The name in the table "Layer order".
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Head => "reads or changes headers, extensions or the URI",
            Self::Framing => "sets `Connection` on every response",
            Self::Gate => "decides who may pass: authentication, sessions, CSRF, rate limits",
            Self::Limit => "limits time, concurrency or load, or moves the call to another task",
            Self::Router => "routes, nests, merges or boxes",
            Self::Passes => {
                "wraps the response body, and passes `is_end_stream` and `size_hint` on"
            }
            Self::HidesResponse => {
                "wraps the response body, and hides `is_end_stream` or `size_hint`"
            }
            Self::RebuildsResponse => "reads the response body and makes a new one",
            Self::PassesRequest => "wraps the request body, and passes `size_hint` on",
            Self::HidesRequest => "wraps the request body, and hides `size_hint`",
            Self::RebuildsRequest => "reads the request body and makes a new one",
            Self::HoldsResponse => {
                "holds the response until the extensions of the request are dropped"
            }
            Self::DropsExtensions => "makes a new request without the extensions of the old one",
        }
    }

    /// The reason a switch under it works or does not.
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Head => "the status and the body of the 101 stay",
            Self::Framing => {
                "a 101 needs the option `upgrade` in `Connection`, and `outermost()` puts it back"
            }
            Self::Gate => "a request that may pass is passed on, and its 101 comes back as it is",
            Self::Limit => "the future is polled elsewhere or later, the response stays",
            Self::Router => "axum boxes the body, and the box passes every question on",
            Self::Passes => "the server's questions reach the body of the 101",
            Self::HidesResponse => {
                "the server's questions do not reach the body of the 101, so only `outermost()` \
                can tell that it was sent"
            }
            Self::RebuildsResponse => {
                "the body of the 101 is gone, so only `outermost()` can tell that it was sent"
            }
            Self::PassesRequest | Self::HidesRequest | Self::RebuildsRequest => {
                "the head says how long the body is"
            }
            Self::HoldsResponse => {
                "a handler that keeps the request, as that of a WebSocket does, waits for the \
                response, which waits for the handler"
            }
            Self::DropsExtensions => {
                "hyper's `OnUpgrade` is one of the extensions: axum's `WebSocketUpgrade` cannot \
                switch either"
            }
        }
    }
}
