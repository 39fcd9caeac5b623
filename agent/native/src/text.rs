//! WebAssembly text.

use crate::fault::{Fault, Kind};

/// Translate text to binary.
pub fn translate(text: &[u8]) -> Result<Vec<u8>, Fault> {
    wat::parse_bytes(text).map(std::borrow::Cow::into_owned).map_err(|error| {
        Fault::new(Kind::InvalidModule, format!("this is no WebAssembly text: {}; correct it", one_line(&error)))
    })
}

/// The parser draws the place on lines of their own; keep what it says and `line:column`.
fn one_line(error: &wat::Error) -> String {
    let drawn = error.to_string();
    let mut lines = drawn.lines();
    let said = lines.next().unwrap_or_default().trim();
    let place = lines.find_map(|line| line.trim().strip_prefix("--> <anon>:"));
    match place.and_then(|place| place.split_once(':')) {
        Some((line, column)) => format!("{said} (line {line}, column {column})"),
        None => said.into(),
    }
}
