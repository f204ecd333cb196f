//! HTTP/1.1 connections that go on in HTTP/2, frame for frame.

mod connection;
mod differential;
mod draining;
mod ends;
mod extended_connect;
mod hostile;
mod offers;
mod prior_knowledge;
mod reports;
mod request;
mod reset;
mod services;
pub(crate) mod support;
mod time;
