//! The start function as an export.
//!
//! wasmi runs it while it instantiates, where it could neither be resumed nor stopped. So its section goes, and the
//! function is exported under a name that no valid module shares with it.

use wasmparser::{Parser, Payload};

use crate::shape::{leb, section};

/// Name of the export; a guest that has an export of this name already has no start function lifted twice.
pub const START: &str = "\u{0}waspi:start";

const EXPORTS: u8 = 7;
const STARTS: u8 = 8;

/// The module with its start function exported instead, or as it is when it has none.
pub fn lift(wasm: &[u8]) -> wasmparser::Result<Vec<u8>> {
    let mut start = None;
    let mut exported = false;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::StartSection { func, .. } => start = Some(func),
            Payload::ExportSection(_) => exported = true,
            _ => {}
        }
    }
    let Some(start) = start else {
        return Ok(wasm.to_vec());
    };
    let mut out = wasm[..8].to_vec();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        let Some((id, range)) = payload.as_section() else {
            continue;
        };
        match payload {
            Payload::ExportSection(exports) => {
                let count = exports.count();
                let first = exports.into_iter_with_offsets().next().transpose()?.map_or(range.end, |(at, _)| at);
                section(&mut out, EXPORTS, &with_start(count, &wasm[first..range.end], start));
            }
            Payload::StartSection { .. } if !exported => section(&mut out, EXPORTS, &with_start(0, &[], start)),
            Payload::StartSection { .. } => debug_assert_eq!(id, STARTS),
            _ => section(&mut out, id, &wasm[range]),
        }
    }
    Ok(out)
}

/// Contents of an export section: `count` entries and the start function.
fn with_start(count: u32, entries: &[u8], start: u32) -> Vec<u8> {
    let mut out = Vec::new();
    leb(&mut out, count as usize + 1);
    out.extend_from_slice(entries);
    leb(&mut out, START.len());
    out.extend_from_slice(START.as_bytes());
    out.push(0);
    leb(&mut out, start as usize);
    out
}
