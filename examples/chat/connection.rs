//! The WebSocket of one page, from the 101 to the close frame.

use std::{
    io::{self, ErrorKind::TimedOut},
    time::Duration,
};

use futures_util::{SinkExt, TryStreamExt};
use tokio::{
    sync::broadcast::error::RecvError,
    time::{Instant, MissedTickBehavior, interval_at, timeout},
};
use tokio_websockets::{CloseCode, Error, Limits, Message, ServerBuilder, WebSocketStream};
use tower_upgrade::Upgraded;

use crate::{
    message::{FromPage, ToPage},
    rooms::{App, Entered, NotEntered},
};

pub(crate) async fn run(io: Upgraded, room: String, app: App) -> Result<(), Error> {
    let draining = io.draining();
    let limits = Limits::default().max_payload_len(Some(MESSAGE));
    let mut socket = ServerBuilder::new().limits(limits).serve(io);
    let end = tokio::select! {
        // The drain comes first, or each page would hear that all the others leave.
        biased;
        () = draining => Ok(End::Close(CloseCode::GOING_AWAY, "the server moves this page on")),
        end = chat(&mut socket, &room, &app) => end,
    };
    // A page that does not answer cannot keep the connection longer than this.
    timeout(GOODBYE, goodbye(&mut socket, &end)).await.ok();
    end.map(drop)
}

/// Why a connection ends.
enum End {
    /// The page closed it.
    Closed,
    Close(CloseCode, &'static str),
}

async fn chat(socket: &mut WebSocketStream<Upgraded>, room: &str, app: &App) -> Result<End, Error> {
    let name = match timeout(HELLO, hello(socket)).await {
        Ok(Ok(name)) => name,
        Ok(Err(end)) => return end,
        Err(_elapsed) => return Ok(End::Close(CloseCode::POLICY_VIOLATION, "no name was given")),
    };
    let Entered { seat, welcome, mut events } = match app.enter(room, &name) {
        Ok(entered) => entered,
        Err(not_entered) => return Ok(sorry(&not_entered)),
    };
    send(socket, welcome).await?;

    let mut ping = interval_at(Instant::now() + PING, PING);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut alive = true;
    loop {
        // Each of these may be dropped while it waits without losing anything.
        tokio::select! {
            next = next(socket) => {
                alive = true;
                match next? {
                    Next::Message(FromPage::Say { text }) if seat.say(&text) => {}
                    Next::Message(FromPage::Say { .. }) => {
                        return Ok(End::Close(CloseCode::MESSAGE_TOO_BIG, "the message is too long"));
                    }
                    Next::Message(FromPage::Hello { .. }) => return Ok(NOT_UNDERSTOOD),
                    Next::Alive => {}
                    Next::End(end) => return Ok(end),
                }
            }
            event = events.recv() => match event {
                Ok(event) => send(socket, event).await?,
                Err(RecvError::Lagged(count)) => {
                    send(socket, ToPage::Missed { count }.message()).await?;
                }
                Err(RecvError::Closed) => return Ok(End::Closed),
            },
            _ = ping.tick() => {
                if !std::mem::take(&mut alive) {
                    return Err(Error::Io(io::Error::new(TimedOut, "the page does not answer")));
                }
                send(socket, Message::ping("")).await?;
            }
        }
    }
}

/// Closes with a reason. The page can show it to its reader; the status and the body of a failed
/// handshake are hidden from pages.
fn sorry(not_entered: &NotEntered) -> End {
    match not_entered {
        NotEntered::BadName => {
            End::Close(CloseCode::POLICY_VIOLATION, "a name has 1 to 32 characters")
        }
        NotEntered::RoomFull => End::Close(CloseCode::SERVICE_OVERLOAD, "the room is full"),
        NotEntered::TooManyRooms => {
            End::Close(CloseCode::SERVICE_OVERLOAD, "there are too many rooms")
        }
    }
}

/// Waits for the name. Fails with the way the connection ends if there will be none.
async fn hello(socket: &mut WebSocketStream<Upgraded>) -> Result<String, Result<End, Error>> {
    loop {
        match next(socket).await.map_err(Err)? {
            Next::Message(FromPage::Hello { name }) => return Ok(name),
            Next::Message(FromPage::Say { .. }) => return Err(Ok(NOT_UNDERSTOOD)),
            Next::Alive => {}
            Next::End(end) => return Err(Ok(end)),
        }
    }
}

enum Next {
    Message(FromPage),
    /// A ping, a pong or a close frame: the page is there.
    Alive,
    End(End),
}

async fn next(socket: &mut WebSocketStream<Upgraded>) -> Result<Next, Error> {
    let Some(message) = socket.try_next().await? else {
        return Ok(Next::End(End::Closed));
    };
    if message.is_ping() || message.is_pong() || message.is_close() {
        // The next read answers them.
        return Ok(Next::Alive);
    }
    let parsed = message.as_text().and_then(|text| serde_json::from_str(text).ok());
    Ok(parsed.map_or(Next::End(NOT_UNDERSTOOD), Next::Message))
}

/// Sends a message. Fails if the page does not read it in time.
async fn send(socket: &mut WebSocketStream<Upgraded>, message: Message) -> Result<(), Error> {
    match timeout(SEND, socket.send(message)).await {
        Ok(sent) => sent,
        Err(elapsed) => Err(Error::Io(elapsed.into())),
    }
}

async fn goodbye(
    socket: &mut WebSocketStream<Upgraded>,
    end: &Result<End, Error>,
) -> Result<(), Error> {
    if let Ok(End::Close(code, reason)) = end {
        socket.send(Message::close(Some(*code), reason)).await?;
    }
    // Waits for the page's close frame, or sends the one that answers it.
    socket.close().await?;
    // If the page still sends, it would not get the close frame from a connection that is dropped.
    socket.get_mut().close().await?;
    Ok(())
}

const NOT_UNDERSTOOD: End =
    End::Close(CloseCode::POLICY_VIOLATION, "the message is not one of this chat's");

/// Bytes of a message: every character of the longest text may need an escape of six.
const MESSAGE: usize = 8 * 1024;
/// How long the name may take.
const HELLO: Duration = Duration::from_secs(10);
/// How often a page has to show that it is there.
const PING: Duration = Duration::from_secs(20);
/// How long a message may take to be sent.
const SEND: Duration = Duration::from_secs(10);
/// How long the closing handshake may take.
const GOODBYE: Duration = Duration::from_secs(2);
