//! The alloc/append ABI (`guests/ABI.md`): which exports a run calls, and their types.

use wasmparser::{ExternalKind, FuncType, ValType};

use crate::fault::{Fault, Kind};
use crate::shape::{Shape, func_text};

/// The names and the number of an ABI description.
#[derive(Clone, Debug)]
pub struct Abi {
    pub memory: String,
    pub alloc: String,
    pub entry: String,
    pub headroom: u32,
}

/// What a module has of the ABI, checked.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// The entry returns `ptr << 32 | size` instead of the new size.
    pub packed: bool,
    /// There is a `dealloc(ptr, size)`.
    pub dealloc: bool,
    /// There is an `_initialize()`, as reactors have.
    pub initialize: bool,
}

pub const DEALLOC: &str = "dealloc";
pub const INITIALIZE: &str = "_initialize";
/// Takes a script, where the module is an engine for such.
pub const LOAD: &str = "load";

impl Abi {
    /// Check the exports that this description names.
    pub fn check(&self, shape: &Shape) -> Result<Verdict, Fault> {
        match shape.exports.get(&self.memory) {
            None => return Err(missing(shape, "memory", &self.memory)),
            Some(export) if export.kind != ExternalKind::Memory => {
                return Err(wrong(&self.memory, &export.text, "the linear memory"));
            }
            Some(_) => {}
        }
        let alloc = FuncType::new([ValType::I32], [ValType::I32]);
        let entry = FuncType::new([ValType::I32; 2], [ValType::I32]);
        let packed = FuncType::new([ValType::I32; 2], [ValType::I64]);
        if *self.function(shape, "alloc function", &self.alloc)? != alloc {
            return Err(wrong(&self.alloc, &shape.exports[&self.alloc].text, &func_text(&alloc)));
        }
        let found = self.function(shape, "entry function", &self.entry)?;
        if *found != entry && *found != packed {
            let asked = format!("{} or {}", func_text(&entry), func_text(&packed));
            return Err(wrong(&self.entry, &shape.exports[&self.entry].text, &asked));
        }
        Ok(Verdict {
            packed: *found == packed,
            dealloc: has(shape, DEALLOC, &FuncType::new([ValType::I32; 2], [])),
            initialize: has(shape, INITIALIZE, &FuncType::new([], [])),
        })
    }

    /// Check that the module takes scripts.
    pub fn check_load(&self, shape: &Shape) -> Result<(), Fault> {
        let load = FuncType::new([ValType::I32; 2], []);
        if *self.function(shape, "load function", LOAD)? != load {
            return Err(wrong(LOAD, &shape.exports[LOAD].text, &func_text(&load)));
        }
        Ok(())
    }

    fn function<'a>(&self, shape: &'a Shape, role: &str, name: &str) -> Result<&'a FuncType, Fault> {
        let export = shape.exports.get(name).ok_or_else(|| missing(shape, role, name))?;
        match export.kind {
            ExternalKind::Func => Ok(shape.signature(export.index).expect("validated")),
            _ => Err(wrong(name, &export.text, "a function")),
        }
    }
}

fn has(shape: &Shape, name: &str, ty: &FuncType) -> bool {
    shape
        .exports
        .get(name)
        .is_some_and(|export| export.kind == ExternalKind::Func && shape.signature(export.index) == Some(ty))
}

fn missing(shape: &Shape, role: &str, name: &str) -> Fault {
    const SHOWN: usize = 12;
    let mut names = shape.export_order.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if shape.export_order.len() > SHOWN {
        names.push_str(", ...");
    }
    if names.is_empty() {
        names.push_str("nothing");
    }
    Fault::new(
        Kind::MissingExport,
        format!(
            "the module exports no {role} {name:?} (it exports {names}): export it, or name another in the ABI description \
             (for the entry: --entry NAME)"
        ),
    )
}

fn wrong(name: &str, found: &str, asked: &str) -> Fault {
    Fault::new(
        Kind::WrongSignature,
        format!("the export {name:?} is {found}, the ABI asks for {asked}: change the export or the ABI description"),
    )
}
