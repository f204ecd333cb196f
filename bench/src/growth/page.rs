//! The page of figures.

use std::io;

use super::{Figures, run::Program};
pub(super) fn page(_figures: &Figures, _program: &Program) -> io::Result<String> { Ok(String::new()) }
