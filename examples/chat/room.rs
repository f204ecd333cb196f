//! Who is here, what may be said, and how everybody hears of it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio_websockets::Message;

/// What a page sends.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum FromPage {
    /// The first message: what the person is called.
    Hello {
        name: String,
    },
    Say {
        text: String,
    },
}

/// What a page gets.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum ToPage<'a> {
    /// The answer to `Hello`, with the name as it was given.
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
    /// The page was too slow for so many messages, and will never get them.
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

/// Everybody who chats, and the channel that carries what they say.
#[derive(Debug)]
pub(crate) struct Room {
    people: Mutex<BTreeSet<String>>,
    events: broadcast::Sender<Message>,
}

impl Room {
    pub(crate) fn new() -> Self {
        // The oldest messages are overwritten, so that one who does not read costs no memory.
        Self { people: Mutex::default(), events: broadcast::Sender::new(BACKLOG) }
    }

    /// Lets somebody in, unless the room is full or nothing is left of the name.
    pub(crate) fn enter(self: &Arc<Self>, name: &str) -> Result<Entered, NotEntered> {
        let name = tidy(name).ok_or(NotEntered::NoName)?;
        let mut people = self.people();
        if people.len() >= PEOPLE {
            return Err(NotEntered::Full);
        }
        // Who comes back before the old connection is given up would find the name taken.
        let mut you = name.clone();
        for other in 2.. {
            if people.insert(you.clone()) {
                break;
            }
            you = format!("{name} ({other})");
        }
        // All under the lock: the list and the events after it leave nobody out.
        self.send(&ToPage::Came { name: &you });
        let events = self.events.subscribe();
        let welcome = ToPage::Welcome { you: &you, people: &people }.message();
        drop(people);
        Ok(Entered { seat: Seat { room: Arc::clone(self), name: you }, welcome, events })
    }

    fn send(&self, event: &ToPage<'_>) {
        // It fails if nobody is there to hear it.
        self.events.send(event.message()).ok();
    }

    fn people(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // A set of names is as good as it was before a panic.
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the room, which is given up when this is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    room: Arc<Room>,
    name: String,
}

impl Seat {
    /// Says something to everybody, the speaker included; returns whether it may be said.
    pub(crate) fn say(&self, text: &str) -> bool {
        if text.chars().count() > TEXT {
            return false;
        }
        let text = text.trim();
        if !text.is_empty() {
            self.room.send(&ToPage::Said { name: &self.name, text });
        }
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut people = self.room.people();
        people.remove(&self.name);
        self.room.send(&ToPage::Went { name: &self.name });
    }
}

pub(crate) struct Entered {
    pub(crate) seat: Seat,
    pub(crate) welcome: Message,
    pub(crate) events: broadcast::Receiver<Message>,
}

pub(crate) enum NotEntered {
    NoName,
    Full,
}

/// The name on one line, without what cannot be seen, and not too long; `None` if nothing is left.
fn tidy(name: &str) -> Option<String> {
    let words: Vec<_> = name.split_whitespace().collect();
    let name = words.join(" ").chars().filter(|char| !char.is_control()).take(NAME).collect();
    Some(name).filter(|name: &String| !name.is_empty())
}

/// Characters of a name.
const NAME: usize = 32;
/// Characters of a message.
const TEXT: usize = 1000;
const PEOPLE: usize = 100;
/// Events that a page may be behind.
const BACKLOG: usize = 256;
