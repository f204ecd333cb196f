//! The parts that the fuzz targets share: input, client, and a server by hand to compare with.

pub mod client;
pub mod frames;
pub mod input;
pub mod naive;
pub mod pieces;
pub mod reference;
pub mod runtime;
pub mod service;
pub mod subject;
