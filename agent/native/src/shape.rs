//! What a module looks like from outside: types, imports, exports, memory, function names.
//!
//! It is read from a *skeleton*: the module's own sections with empty bodies and without data. An artifact carries the skeleton, so
//! that a loaded module is described by the same reader as a compiled one.

use std::collections::HashMap;

use wasmparser::{ExternalKind, FuncType, KnownCustom, Name, Parser, Payload, TypeRef, ValType};

use crate::bounds::NAME_BYTES;

/// Bytes of function names that are kept for error messages.
const NAMES_BYTES: usize = 64 << 10;
/// A custom section of skeletons, without contents: see [`Shape::imageable`].
const IMAGEABLE: &str = "waspi:imageable";
/// Section ids that a skeleton keeps: type, import, function, table, memory, global, export (core specification, 5.5.2).
const KEPT: [u8; 7] = [1, 2, 3, 4, 5, 6, 7];

/// An import and its type as text.
pub struct Import {
    pub module: String,
    pub name: String,
    pub kind: String,
    /// Set when it is a function.
    pub signature: Option<FuncType>,
}

/// An export and its type as text.
pub struct Export {
    pub kind: ExternalKind,
    pub index: u32,
    pub text: String,
}

/// Limits of the linear memory, in pages of 64 KiB.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    pub minimum: u64,
    pub maximum: Option<u64>,
}

#[derive(Default)]
pub struct Shape {
    pub types: Vec<FuncType>,
    pub imports: Vec<Import>,
    /// Type index of every function, imported ones first.
    pub functions: Vec<u32>,
    pub exports: HashMap<String, Export>,
    /// Names in the module's order.
    pub export_order: Vec<String>,
    pub memory: Option<Pages>,
    /// Whether the first global is what a linker makes of `__stack_pointer`: mutable, an `i32` and above zero at first.
    pub has_stack_pointer: bool,
    /// Whether an image can be kept of its start-up: [`crate::image::is_possible`].
    pub imageable: bool,
    names: HashMap<u32, String>,
    globals: Vec<wasmparser::GlobalType>,
    tables: Vec<wasmparser::TableType>,
}

impl Shape {
    /// Read a skeleton or a whole module that was validated before.
    pub fn read(wasm: &[u8]) -> wasmparser::Result<Self> {
        let mut shape = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            shape.take(payload?)?;
        }
        for name in shape.export_order.clone() {
            let export = &shape.exports[&name];
            let text = shape.describe(export.kind, export.index);
            if export.kind == ExternalKind::Func && !shape.names.contains_key(&export.index) {
                let index = export.index;
                shape.names.insert(index, name.clone());
            }
            shape.exports.get_mut(&name).expect("taken from the same map").text = text;
        }
        Ok(shape)
    }

    fn take(&mut self, payload: Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    self.types.push(ty?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.import(import?);
                }
            }
            Payload::FunctionSection(section) => {
                for index in section {
                    self.functions.push(index?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.tables.push(table?.ty);
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    self.memory = Some(Pages { minimum: memory.initial, maximum: memory.maximum });
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let global = global?;
                    if self.globals.is_empty() {
                        self.has_stack_pointer = global.ty.mutable && is_positive(&global.init_expr);
                    }
                    self.globals.push(global.ty);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    self.export_order.push(export.name.into());
                    self.exports.insert(
                        export.name.into(),
                        Export { kind: export.kind, index: export.index, text: String::new() },
                    );
                }
            }
            Payload::CustomSection(section) => {
                // A broken name section is no reason to refuse a module.
                if let KnownCustom::Name(names) = section.as_known() {
                    let _ = self.read_names(names);
                }
                self.imageable |= section.name() == IMAGEABLE;
            }
            _ => {}
        }
        Ok(())
    }

    fn import(&mut self, import: wasmparser::Import<'_>) {
        let mut signature = None;
        let kind = match import.ty {
            TypeRef::Func(index) | TypeRef::FuncExact(index) => {
                self.functions.push(index);
                signature = self.types.get(index as usize).cloned();
                signature.as_ref().map_or_else(|| "func".into(), func_text)
            }
            TypeRef::Table(ty) => {
                self.tables.push(ty);
                "table".into()
            }
            TypeRef::Memory(ty) => memory_text(ty.initial, ty.maximum),
            TypeRef::Global(ty) => {
                self.globals.push(ty);
                global_text(&ty)
            }
            TypeRef::Tag(_) => "tag".into(),
        };
        self.imports.push(Import { module: import.module.into(), name: import.name.into(), kind, signature });
    }

    fn read_names(&mut self, names: wasmparser::NameSectionReader<'_>) -> wasmparser::Result<()> {
        let mut kept = 0;
        for name in names {
            if let Name::Function(map) = name? {
                for naming in map {
                    let naming = naming?;
                    let short = cut(naming.name);
                    kept += short.len();
                    if kept > NAMES_BYTES {
                        return Ok(());
                    }
                    self.names.insert(naming.index, short.into());
                }
            }
        }
        Ok(())
    }

    /// Type of the function at `index` of the module's index space.
    pub fn signature(&self, index: u32) -> Option<&FuncType> {
        self.types.get(*self.functions.get(index as usize)? as usize)
    }

    /// Name of the function at `index`, or `func[index]`.
    pub fn function_name(&self, index: u32) -> String {
        self.names.get(&index).cloned().unwrap_or_else(|| format!("func[{index}]"))
    }

    fn describe(&self, kind: ExternalKind, index: u32) -> String {
        match kind {
            ExternalKind::Func | ExternalKind::FuncExact => {
                self.signature(index).map_or_else(|| "func".into(), func_text)
            }
            ExternalKind::Memory => {
                self.memory.map_or_else(|| "memory".into(), |pages| memory_text(pages.minimum, pages.maximum))
            }
            ExternalKind::Global => self.globals.get(index as usize).map_or_else(|| "global".into(), global_text),
            ExternalKind::Table => self
                .tables
                .get(index as usize)
                .map_or_else(|| "table".into(), |ty| format!("table {}", limits_text(ty.initial, ty.maximum))),
            ExternalKind::Tag => "tag".into(),
        }
    }

    /// The skeleton of a validated module: its sections with empty bodies, without data, and a bounded name section.
    pub fn skeleton(&self, wasm: &[u8]) -> wasmparser::Result<Vec<u8>> {
        let mut out = wasm[..8].to_vec();
        for payload in Parser::new(0).parse_all(wasm) {
            if let Some((id, range)) = payload?.as_section()
                && KEPT.contains(&id)
            {
                section(&mut out, id, &wasm[range]);
            }
        }
        section(&mut out, 10, &self.empty_bodies());
        section(&mut out, 0, &self.name_section());
        if self.imageable {
            let mut name = Vec::new();
            leb(&mut name, IMAGEABLE.len());
            name.extend_from_slice(IMAGEABLE.as_bytes());
            section(&mut out, 0, &name);
        }
        Ok(out)
    }

    /// Contents of a code section that has a body for every function and no code: parsers want as many as functions.
    fn empty_bodies(&self) -> Vec<u8> {
        const BODY: [u8; 3] = [2, 0, 0x0b];
        let imported = self.imports.iter().filter(|import| import.signature.is_some()).count();
        let count = self.functions.len() - imported;
        let mut out = Vec::new();
        leb(&mut out, count);
        out.extend(std::iter::repeat_n(BODY, count).flatten());
        out
    }

    fn name_section(&self) -> Vec<u8> {
        let mut names: Vec<_> = self.names.iter().collect();
        names.sort();
        let mut map = Vec::new();
        leb(&mut map, names.len());
        for (index, name) in names {
            leb(&mut map, *index as usize);
            leb(&mut map, name.len());
            map.extend_from_slice(name.as_bytes());
        }
        let mut out = vec![4];
        out.extend_from_slice(b"name");
        // Subsection 1: function names (core specification, appendix "Custom Sections").
        section(&mut out, 1, &map);
        out
    }
}

/// Whether it is `i32.const` of a number above zero.
fn is_positive(expression: &wasmparser::ConstExpr<'_>) -> bool {
    let first = expression.get_operators_reader().read();
    matches!(first, Ok(wasmparser::Operator::I32Const { value }) if value > 0)
}

/// At most `NAME_BYTES` of a name, cut at a character.
fn cut(name: &str) -> &str {
    let mut end = name.len().min(NAME_BYTES / 4);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

/// Append a section: id, length, contents.
pub fn section(out: &mut Vec<u8>, id: u8, contents: &[u8]) {
    out.push(id);
    leb(out, contents.len());
    out.extend_from_slice(contents);
}

/// Append an unsigned LEB128 number.
pub fn leb(out: &mut Vec<u8>, mut value: usize) {
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(byte);
            return;
        }
        out.push(byte | 0x80);
    }
}

/// `func (i32, i32) -> i32`
pub fn func_text(ty: &FuncType) -> String {
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match ty.results() {
        [] => format!("func ({})", list(ty.params())),
        [one] => format!("func ({}) -> {one}", list(ty.params())),
        many => format!("func ({}) -> ({})", list(ty.params()), list(many)),
    }
}

fn memory_text(minimum: u64, maximum: Option<u64>) -> String {
    format!("memory {}", limits_text(minimum, maximum))
}

fn limits_text(minimum: u64, maximum: Option<u64>) -> String {
    maximum.map_or_else(|| format!("{minimum}.."), |maximum| format!("{minimum}..{maximum}"))
}

fn global_text(ty: &wasmparser::GlobalType) -> String {
    format!("global {}{}", if ty.mutable { "mut " } else { "" }, ty.content_type)
}
