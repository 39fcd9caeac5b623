//! A module without its custom sections.

use wasmparser::{Parser, Payload};

use crate::shape::section;

/// Stripped bytes, and by how much an offset in the code section moved.
pub struct Stripped {
    pub wasm: Vec<u8>,
    /// Add it to an offset in the stripped module's code to get the one in the original.
    pub shift: u64,
}

/// Drop every custom section (core specification, 5.5.3).
pub fn strip(wasm: &[u8]) -> wasmparser::Result<Stripped> {
    let mut out = wasm.get(..8).unwrap_or(wasm).to_vec();
    let mut shift = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if matches!(payload, Payload::CustomSection(_)) {
            continue;
        }
        if let Some((id, range)) = payload.as_section() {
            section(&mut out, id, &wasm[range.clone()]);
            if matches!(payload, Payload::CodeSectionStart { .. }) {
                shift = (range.end - out.len()) as u64;
            }
        }
    }
    Ok(Stripped { wasm: out, shift })
}
