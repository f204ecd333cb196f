//! The rooms: each exists while somebody is in it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::broadcast;
use tokio_websockets::Message;

use crate::message::ToPage;

/// The state of the app: all rooms by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct App {
    rooms: Arc<Mutex<BTreeMap<String, Room>>>,
}

/// The people in a room, and the channel for everything that happens there.
#[derive(Debug)]
struct Room {
    people: BTreeSet<String>,
    events: broadcast::Sender<Message>,
}

impl App {
    /// Lets a person into a room. The first one makes the room.
    pub(crate) fn enter(&self, room: &str, name: &str) -> Result<Entered, NotEntered> {
        let name = tidy(name).ok_or(NotEntered::BadName)?;
        let mut rooms = self.rooms();
        if rooms.len() >= ROOMS && !rooms.contains_key(room) {
            return Err(NotEntered::TooManyRooms);
        }
        let entered = rooms.entry(room.to_owned()).or_insert_with(Room::new);
        if entered.people.len() >= PEOPLE {
            return Err(NotEntered::RoomFull);
        }
        let you = entered.add(&name);
        // All under the lock: the list and the events after it leave nobody out.
        send(&entered.events, &ToPage::Came { name: &you });
        let events = entered.events.subscribe();
        let welcome = ToPage::Welcome { you: &you, people: &entered.people }.message();
        let sender = entered.events.clone();
        let seat = Seat { app: self.clone(), room: room.to_owned(), name: you, events: sender };
        Ok(Entered { seat, welcome, events })
    }

    fn rooms(&self) -> MutexGuard<'_, BTreeMap<String, Room>> {
        // The names are as good as they were before a panic.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn new() -> Self {
        // The oldest events are overwritten, so a page that does not read costs no memory.
        Self { people: BTreeSet::new(), events: broadcast::Sender::new(BACKLOG) }
    }

    /// Adds a person, and returns the name that the others see.
    fn add(&mut self, name: &str) -> String {
        let mut you = name.to_owned();
        // Until the server has noticed the loss of a connection, its name is still taken.
        for other in 2.. {
            if self.people.insert(you.clone()) {
                break;
            }
            you = format!("{name} ({other})");
        }
        you
    }
}

/// A person's place in a room. Dropping it leaves the room, and the last one drops the room.
#[derive(Debug)]
pub(crate) struct Seat {
    app: App,
    room: String,
    name: String,
    events: broadcast::Sender<Message>,
}

impl Seat {
    /// Says something to everybody in the room, the speaker included. Returns `false` if it is too
    /// long.
    pub(crate) fn say(&self, text: &str) -> bool {
        if text.chars().count() > TEXT {
            return false;
        }
        let text = text.trim();
        if !text.is_empty() {
            send(&self.events, &ToPage::Said { name: &self.name, text });
        }
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut rooms = self.app.rooms();
        let Some(room) = rooms.get_mut(&self.room) else { return };
        room.people.remove(&self.name);
        send(&room.events, &ToPage::Went { name: &self.name });
        if room.people.is_empty() {
            rooms.remove(&self.room);
        }
    }
}

pub(crate) struct Entered {
    pub(crate) seat: Seat,
    pub(crate) welcome: Message,
    pub(crate) events: broadcast::Receiver<Message>,
}

pub(crate) enum NotEntered {
    BadName,
    RoomFull,
    TooManyRooms,
}

/// Puts the name of a person or of a room on one line, without control characters. Returns `None` if
/// nothing is left of it or if it is too long.
pub(crate) fn tidy(name: &str) -> Option<String> {
    let words: Vec<_> = name.split_whitespace().collect();
    let name = words.join(" ").replace(char::is_control, "");
    (1..=NAME).contains(&name.chars().count()).then_some(name)
}

fn send(events: &broadcast::Sender<Message>, event: &ToPage<'_>) {
    // It fails if nobody is in the room to receive it.
    events.send(event.message()).ok();
}

/// Characters of the name of a person or of a room.
const NAME: usize = 32;
/// Characters of a message.
const TEXT: usize = 1000;
/// People in a room.
const PEOPLE: usize = 100;
const ROOMS: usize = 100;
/// Events that a page may be behind.
const BACKLOG: usize = 256;
