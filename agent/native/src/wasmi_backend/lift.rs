//! The start function, the first global and those that can change as exports.
//!
//! wasmi runs the start function while it instantiates, where it could neither be resumed nor stopped. So its section
//! goes, and the function is exported under a name that no valid module shares with it. The first global is, in what
//! LLVM's linker made, the stack pointer: it tells an exhausted stack from another access out of bounds. Those that can
//! change are a part of the guest's state, which an image keeps.

use wasmparser::{Parser, Payload, TypeRef, ValType};

use crate::shape::{leb, section};

/// Name of the start function's export; a guest that has an export of this name already has no start function lifted twice.
pub const START: &str = "\u{0}waspi:start";
/// Name of the first global's export.
pub const FIRST_GLOBAL: &str = "\u{0}waspi:global";

/// Name of the export of the global that is the one of this number among those that can change.
pub fn mutable_global(number: u32) -> String {
    format!("\u{0}waspi:mutable:{number}")
}

const EXPORTS: u8 = 7;
/// Kinds of exports (core specification, 5.5.10).
const FUNCTION: u8 = 0;
const GLOBAL: u8 = 3;

/// A name, a kind and an index.
type Export = (String, u8, u32);

/// The module with its start function and its first global exported, or as it is when it has neither.
pub fn lift(wasm: &[u8]) -> wasmparser::Result<Vec<u8>> {
    let mut lifted: Vec<Export> = Vec::new();
    let mut exported = false;
    let mut imported = false;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    imported |= matches!(import?.ty, TypeRef::Global(_));
                }
            }
            Payload::GlobalSection(globals) if !imported => {
                let mut mutable = 0;
                for (index, global) in (0..).zip(globals) {
                    let ty = global?.ty;
                    if index == 0 && ty.content_type == ValType::I32 {
                        lifted.push((FIRST_GLOBAL.into(), GLOBAL, 0));
                    }
                    if ty.mutable {
                        lifted.push((mutable_global(mutable), GLOBAL, index));
                        mutable += 1;
                    }
                }
            }
            Payload::StartSection { func, .. } => lifted.push((START.into(), FUNCTION, func)),
            Payload::ExportSection(_) => exported = true,
            _ => {}
        }
    }
    if lifted.is_empty() {
        return Ok(wasm.to_vec());
    }
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
                section(&mut out, EXPORTS, &with(&lifted, count, &wasm[first..range.end]));
            }
            Payload::StartSection { .. } if !exported => section(&mut out, EXPORTS, &with(&lifted, 0, &[])),
            Payload::StartSection { .. } => {}
            _ => section(&mut out, id, &wasm[range]),
        }
    }
    Ok(out)
}

/// Contents of an export section: `count` entries and the lifted ones.
fn with(lifted: &[Export], count: u32, entries: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    leb(&mut out, count as usize + lifted.len());
    out.extend_from_slice(entries);
    for (name, kind, index) in lifted {
        leb(&mut out, name.len());
        out.extend_from_slice(name.as_bytes());
        out.push(*kind);
        leb(&mut out, *index as usize);
    }
    out
}
