//! The messages between a page and the server, as JSON.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tokio_websockets::Message;

/// A message from a page.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum FromPage {
    /// The first message: the person's name.
    Hello {
        name: String,
    },
    Say {
        text: String,
    },
}

/// A message to a page.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum ToPage<'a> {
    /// The answer to `Hello`. `you` is the name that the others see.
    Welcome {
        you: &'a str,
        people: &'a BTreeSet<String>,
    },
    Came {
        name: &'a str,
    },
    Went {
        name: &'a str,
    },
    Said {
        name: &'a str,
        text: &'a str,
    },
    /// The page read too slowly, and this many messages are lost to it.
    Missed {
        count: u64,
    },
}

impl ToPage<'_> {
    pub(crate) fn message(&self) -> Message {
        let text = serde_json::to_string(self).expect("strings and numbers become JSON");
        Message::text(text)
    }
}
