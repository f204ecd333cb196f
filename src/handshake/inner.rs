//! Decision 2 by the inner service: a request that went inside with an offer, and what came back.

use std::{mem, sync::Arc};

use http::{
    Request, Response, StatusCode,
    header::{SEC_WEBSOCKET_ACCEPT, UPGRADE},
    request,
};
use hyper::upgrade::OnUpgrade;

use super::{Settings, deadline, plain, switching::Switching, token::Token, turn_away};
use crate::{
    connections::{
        admission::Admission,
        fate::{Maker, Making},
    },
    error::UpgradeErrorKind,
    handler::{
        answer::{Carried, Link, Slot, Yes},
        rejection::{self, OwnBody},
        switch::Switch,
    },
    negotiation::{Decline, Mechanism, Offered, length::Length, protocol::Protocol},
    observe::Reason,
};

/// A request whose switch the inner service decides about.
pub(crate) struct Asked {
    /// Until the answer.
    question: Option<Question>,
    /// From the answer, if it is a yes. The future of the response holds this.
    making: Option<Making>,
}

struct Question {
    slot: Arc<Slot>,
    on_upgrade: OnUpgrade,
    token: Option<Token>,
    /// The method and the URI of the request, for the report.
    head: request::Parts,
    mechanism: Mechanism,
    offer: Offered,
    /// Of the whole head, of which only a part is kept.
    admission: Admission,
    settings: Arc<Settings>,
}

impl Asked {
    /// Prepares a request to go inside. Its `OnUpgrade` stays, for other code inside that may
    /// switch; it is awaited here only if the answer is ours.
    pub(crate) fn new(
        head: &mut request::Parts,
        on_upgrade: OnUpgrade,
        mechanism: Mechanism,
        protocol: Protocol<'static>,
        offer: Offered,
        settings: Arc<Settings>,
    ) -> Self {
        let (mut reported, ()) = Request::new(()).into_parts();
        reported.method = head.method.clone();
        reported.uri = head.uri.clone();
        reported.version = head.version;
        let admission = settings.admissions.ask(head);
        let slot = Slot::new(protocol.clone());
        head.extensions.insert(protocol);
        head.extensions.insert::<Link>(slot.link());
        let token = head.extensions.get().cloned().filter(Token::is_valid);
        let question = Some(Question {
            slot,
            on_upgrade,
            token,
            head: reported,
            mechanism,
            offer,
            admission,
            settings,
        });
        Self { question, making: None }
    }

    /// Returns the response to send in place of the inner service's, if that was a yes.
    ///
    /// # Panics
    ///
    /// Panics if it is called twice.
    pub(crate) fn answer<B>(&mut self, response: &mut Response<B>) -> Option<Response<OwnBody>> {
        let question = self.question.take().expect("polled after completion");
        question.answer(response, &mut self.making)
    }
}

impl Question {
    fn answer<B>(
        self,
        response: &mut Response<B>,
        making: &mut Option<Making>,
    ) -> Option<Response<OwnBody>> {
        let carried = response.extensions_mut().remove::<Carried>();
        let is_101 = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let is_500 = response.status() == StatusCode::INTERNAL_SERVER_ERROR;
        let answer = match (self.slot.take(), carried) {
            (Yes::Said(switch), _) if is_101 => Ok(switch),
            (Yes::SaidTwice, _) if is_101 || is_500 => Err(TWICE),
            (Yes::NotSaid, Some(_)) if is_500 && self.is_unchecked(response) => Err(UNCHECKED),
            (Yes::NotSaid, Some(carried)) if is_500 => carried.take().ok_or(TWICE),
            // A 101 that the inner service made by itself names its protocol. Without a name, it is the
            // yes to another request.
            (Yes::NotSaid, None) if is_101 && !response.headers().contains_key(UPGRADE) => {
                Err(TWICE)
            }
            // No yes, or middleware changed its status and has the last word.
            _ => {
                self.report(response);
                return None;
            }
        };
        Some(self.switch(answer, response, making))
    }

    /// Whether a switch to WebSocket comes from code that checked no handshake, and so no `Origin` either: a
    /// route for another protocol, say. In HTTP/2 the client would take it for a WebSocket.
    fn is_unchecked<B>(&self, response: &Response<B>) -> bool {
        self.slot.protocol().is_websocket()
            && !response.headers().contains_key(SEC_WEBSOCKET_ACCEPT)
    }

    /// Reports a response that is not a yes.
    fn report<B>(&self, response: &mut Response<B>) {
        let (observer, head) = (&self.settings.observer, &self.head);
        match response.extensions_mut().remove::<Reason>() {
            Some(reason) => {
                if self.mechanism == Mechanism::ExtendedConnect {
                    rejection::fit_connect(response);
                }
                observer.rejected(self.slot.protocol(), response.status(), &reason, head);
            }
            None => observer.declined(Decline::Unaccepted, head),
        }
    }

    /// Switches, or answers 500 and reports why there is no switch.
    fn switch<B>(
        self,
        switch: Result<Switch, &'static str>,
        response: &mut Response<B>,
        making: &mut Option<Making>,
    ) -> Response<OwnBody> {
        let Self { slot, on_upgrade, token, head, mechanism, offer, admission, settings } = self;
        // Only now, or plain pages on the same path would be turned away as well.
        let session = match settings.begin(slot.protocol(), &head, admission) {
            Ok(session) => Arc::new(session),
            Err(no_place) => {
                settings.observer.turned_away(no_place, slot.protocol(), &head);
                return turn_away(no_place, Length::Exactly(0), mechanism);
            }
        };
        *making = Some(Making::new(session.control(), Maker::Layer));
        let mut switch = match switch {
            Ok(switch) => switch,
            Err(why) => {
                session.failed(UpgradeErrorKind::Switch, Some(why.into()));
                return plain(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        for (name, value) in response.headers() {
            switch = switch.header(name.clone(), value.clone());
        }
        let (limits, deadline) = (settings.limits, deadline(&session, settings.timeout));
        let switching = Switching { on_upgrade, token, mechanism, limits, session };
        let mut switched = switching.to(switch, &offer, deadline);
        // Outer layers may look for what the inner service left them there.
        *switched.extensions_mut() = mem::take(response.extensions_mut());
        switched
    }
}

const UNCHECKED: &str = "the inner service switched to WebSocket without a `websocket::Offer`, which checks \
                         the handshake and the origin";

const TWICE: &str = "the inner service switched twice for one request, or answered it with the yes to \
                     another one";
