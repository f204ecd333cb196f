//! The peers, and what each of them does not do.

pub(super) struct Peer {
    /// The name of its server.
    pub(super) key: &'static str,
    pub(super) name: &'static str,
    /// Whether it takes other protocols than WebSocket.
    pub(super) raw: bool,
    /// How it reads and writes messages, and what is left to its user.
    pub(super) about: &'static str,
}

impl Peer {
    /// The one that all others are compared with.
    pub(super) fn is_base(&self) -> bool {
        self.key == BASE
    }

    pub(super) fn is_this(&self) -> bool {
        self.key.starts_with("this-")
    }

    /// Whether its instructions and allocations can be counted.
    pub(super) fn is_counted(&self) -> bool {
        self.key != NODE
    }

    pub(super) fn is_built(&self) -> bool {
        self.key != "rama" || cfg!(feature = "rama")
    }
}

pub(super) const BASE: &str = "hyper";
pub(super) const NODE: &str = "ws";

pub(super) const PEERS: &[Peer] = &[
    Peer {
        key: BASE,
        name: "hyper, by hand",
        raw: true,
        about: "Messages by tokio-websockets. Checks the path, one `Upgrade` header, the version and that \
                there is a key. No check of `Connection`, of the key's form, of the body or of `Origin`; no limits, no \
                drain, no list of connections.",
    },
    Peer {
        key: "this-hyper",
        name: "tower-upgrade on hyper",
        raw: true,
        about: "Messages by tokio-websockets. Has no framing of its own and no client.",
    },
    Peer {
        key: "this-axum",
        name: "tower-upgrade on axum",
        raw: true,
        about: "The same, below `UpgradeLayer::outermost()`, with a route that takes an `Offer`.",
    },
    Peer {
        key: "axum",
        name: "axum `WebSocketUpgrade`",
        raw: false,
        about: "Messages by tungstenite 0.29. No check of the key's form or of `Origin`; sockets are neither \
                counted nor drained, and their errors are lost.",
    },
    Peer {
        key: "axum-small-buffers",
        name: "axum, `read_buffer_size(4096)`",
        raw: false,
        about: "The same. tungstenite clears its whole read buffer before each read, 128 KiB by default.",
    },
    Peer {
        key: "hyper-tungstenite",
        name: "hyper-tungstenite",
        raw: false,
        about: "Messages by tungstenite 0.30. A function for hyper and no layer: routing, `Origin`, tasks and their \
                end are its user's.",
    },
    Peer {
        key: "hyper-tungstenite-small-buffers",
        name: "hyper-tungstenite, `read_buffer_size(4096)`",
        raw: false,
        about: "The same, with the setting for small buffers.",
    },
    Peer {
        key: "fastwebsockets",
        name: "fastwebsockets",
        raw: false,
        about: "Its own framing, which unmasks in place and sends without a copy. A function for hyper and no layer, as \
                above. It loses bytes of a frame's head if a read is cancelled.",
    },
    Peer {
        key: "actix-ws",
        name: "actix-ws",
        raw: false,
        about: "Its own HTTP and framing, on a second thread beside the one that accepts. A socket is a response \
                body, so there is no connection to hand over.",
    },
    Peer {
        key: "warp",
        name: "warp",
        raw: false,
        about: "Messages by tungstenite 0.29, always with its default buffers. No check of `Origin`; sockets are \
                neither counted nor drained.",
    },
    Peer {
        key: "rama",
        name: "rama `UpgradeLayer`",
        raw: true,
        about: "Its own HTTP, a fork of hyper, and its own framing, a fork of tungstenite. A pre-release: the newest \
                version needs a newer Rust than the one here. Its span for each connection is off without a subscriber.",
    },
    Peer {
        key: NODE,
        name: "Node, `ws`",
        raw: false,
        about: "JavaScript, with a garbage collector: its memory is what the heap happens to have grown to. V8 runs with `--single-threaded`, because a garbage collector on other threads waits for the core. Instructions \
                and allocations are not counted.",
    },
];
