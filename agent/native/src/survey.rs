//! One pass over a module before anything else sees it: bounds, features and validation.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use wasmparser::{
    BinaryReaderError, FuncValidator, FuncValidatorAllocations, FunctionBody, Operator, Parser, Payload, TypeRef,
    ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use crate::bounds::{self, Bounds, fixed, within};
use crate::fault::{Fault, Kind};
use crate::features;

const PAGE: u64 = 65_536;

/// Check `wasm` against the bounds and validate it with the features that waspi has switched on.
pub fn survey(wasm: &[u8], bounds: &Bounds) -> Result<(), Fault> {
    if features::is_component(wasm) {
        return Err(features::component());
    }
    within("bytes", wasm.len() as u64, bounds.module_bytes)?;
    if !wasm.starts_with(b"\0asm") {
        let hint = if wasm.is_empty() { "it is empty" } else { "it does not start with \\0asm" };
        return Err(Fault::new(Kind::InvalidModule, format!("this is no WebAssembly binary: {hint}")));
    }
    let deadline = Instant::now() + Duration::from_millis(bounds.compile_ms);
    let mut survey = Survey {
        bounds,
        deadline,
        validator: Validator::new_with_features(features::on()),
        parser_features: features::on(),
        sections: 0,
        functions: 0,
        tables: 0,
        table_elements: 0,
        imports: 0,
        globals: 0,
    };
    survey.run_checked(wasm).map_err(|refusal| match refusal {
        Refusal::Fault(fault) => fault,
        Refusal::Invalid(error) => features::explain(wasm, &error),
    })
}

/// Why a pass ended early.
enum Refusal {
    Fault(Fault),
    Invalid(BinaryReaderError),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<BinaryReaderError> for Refusal {
    fn from(error: BinaryReaderError) -> Self {
        Self::Invalid(error)
    }
}

struct Survey<'a> {
    bounds: &'a Bounds,
    deadline: Instant,
    validator: Validator,
    parser_features: WasmFeatures,
    sections: u64,
    functions: u64,
    tables: u64,
    table_elements: u64,
    imports: u64,
    globals: u64,
}

impl Survey<'_> {
    #[cfg(not(target_pointer_width = "32"))]
    fn run_checked(&mut self, wasm: &[u8]) -> Result<(), Refusal> {
        self.run(wasm)
    }

    /// On 32-bit targets a length near 4 GiB wraps in wasmparser, which then slices backwards and panics.
    #[cfg(target_pointer_width = "32")]
    fn run_checked(&mut self, wasm: &[u8]) -> Result<(), Refusal> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.run(wasm))).unwrap_or_else(|_| {
            let message = "the module does not validate: a length in it ends beyond the file; fetch it again";
            Err(Fault::new(Kind::InvalidModule, message).into())
        })
    }

    fn run(&mut self, wasm: &[u8]) -> Result<(), Refusal> {
        let mut parser = Parser::new(0);
        parser.set_features(self.parser_features);
        let mut allocations = FuncValidatorAllocations::default();
        for payload in parser.parse_all(wasm) {
            let payload = payload?;
            // Counts first: the validator allocates by them.
            self.count(&payload)?;
            match self.validator.payload(&payload)? {
                ValidPayload::Func(function, body) => {
                    let mut validator = function.into_validator(allocations);
                    self.body(&mut validator, &body)?;
                    allocations = validator.into_allocations();
                }
                ValidPayload::Ok | ValidPayload::Parser(_) | ValidPayload::End(_) => {}
            }
        }
        Ok(())
    }

    fn count(&mut self, payload: &Payload<'_>) -> Result<(), Refusal> {
        if payload.as_section().is_some() {
            self.sections += 1;
            fixed("sections", self.sections, bounds::SECTIONS.into())?;
        }
        match payload {
            Payload::TypeSection(section) => {
                fixed("types", section.count().into(), bounds::TYPES.into())?;
                for group in section.clone() {
                    for ty in group?.types() {
                        if let wasmparser::CompositeInnerType::Func(ty) = &ty.composite_type.inner {
                            within("parameters of one function type", ty.params().len() as u64, self.bounds.params)?;
                            fixed("results of one function type", ty.results().len() as u64, bounds::RESULTS as u64)?;
                        }
                    }
                }
            }
            Payload::ImportSection(section) => {
                fixed("imports", section.count().into(), bounds::IMPORTS.into())?;
                for import in section.clone().into_imports() {
                    let import = import?;
                    self.imports += 1;
                    fixed("imports", self.imports, bounds::IMPORTS.into())?;
                    within(
                        "bytes in an import's name",
                        longest(import.module, import.name),
                        bounds::NAME_BYTES as u64,
                    )?;
                    match import.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => self.functions += 1,
                        TypeRef::Memory(memory) => self.memory(memory.initial)?,
                        TypeRef::Table(table) => self.table(table.initial)?,
                        TypeRef::Global(_) | TypeRef::Tag(_) => {}
                    }
                }
            }
            Payload::FunctionSection(section) => {
                self.functions += u64::from(section.count());
                within("functions", self.functions, self.bounds.functions)?;
            }
            Payload::TableSection(section) => {
                for table in section.clone() {
                    self.table(table?.ty.initial)?;
                }
            }
            Payload::MemorySection(section) => {
                for memory in section.clone() {
                    self.memory(memory?.initial)?;
                }
            }
            Payload::GlobalSection(section) => {
                self.globals += u64::from(section.count());
                within("globals", self.globals, self.bounds.globals)?;
            }
            Payload::ExportSection(section) => {
                fixed("exports", section.count().into(), bounds::EXPORTS.into())?;
                let mut seen = HashSet::new();
                for export in section.clone() {
                    let export = export?;
                    fixed("bytes in an export's name", export.name.len() as u64, bounds::NAME_BYTES as u64)?;
                    if !seen.insert(export.name) {
                        return Err(twice(export.name).into());
                    }
                }
            }
            Payload::ElementSection(section) => {
                within("element segments", section.count().into(), self.bounds.data_segments)?;
                for element in section.clone() {
                    let count = match element?.items {
                        wasmparser::ElementItems::Functions(items) => items.count(),
                        wasmparser::ElementItems::Expressions(_, items) => items.count(),
                    };
                    within("elements in one segment", count.into(), self.bounds.table_elements)?;
                }
            }
            Payload::DataCountSection { count, .. } => {
                within("data segments", (*count).into(), self.bounds.data_segments)?;
            }
            Payload::DataSection(section) => {
                within("data segments", section.count().into(), self.bounds.data_segments)?;
            }
            Payload::CodeSectionStart { count, size, .. } => {
                within("function bodies", (*count).into(), self.bounds.functions)?;
                within("bytes of code", (*size).into(), self.bounds.code_bytes)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn memory(&self, pages: u64) -> Result<(), Fault> {
        within("bytes of initial memory", pages.saturating_mul(PAGE), self.bounds.memory_bytes)
    }

    fn table(&mut self, elements: u64) -> Result<(), Fault> {
        self.tables += 1;
        self.table_elements = self.table_elements.saturating_add(elements);
        fixed("tables", self.tables, bounds::TABLES.into())?;
        within("initial table elements", self.table_elements, self.bounds.table_elements)
    }

    fn body(&self, validator: &mut FuncValidator<ValidatorResources>, body: &FunctionBody<'_>) -> Result<(), Refusal> {
        let here = |error: Fault| error.at(body.range().start as u64);
        within("bytes in one function", body.range().len() as u64, self.bounds.body_bytes).map_err(here)?;
        if Instant::now() > self.deadline {
            return Err(Fault::new(Kind::Compile, "the module did not validate in the time allowed").into());
        }
        let mut locals = 0_u64;
        for group in body.get_locals_reader()? {
            locals += u64::from(group?.0);
        }
        within("locals in one function", locals, self.bounds.locals).map_err(here)?;
        let locals = u64::from(validator.len_locals()) + locals;

        let mut reader = body.get_binary_reader_for_operators()?;
        reader.set_features(self.parser_features);
        let mut whole = body.get_binary_reader();
        whole.set_features(self.parser_features);
        validator.read_locals(&mut whole)?;
        let mut operators = wasmparser::OperatorsReader::new(reader);
        let (mut targets, mut ways, mut loops) = (0_u64, 0_u64, 0_u64);
        while !operators.eof() {
            let (operator, offset) = operators.read_with_offset()?;
            match &operator {
                Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => {
                    ways += 1;
                    let depth = validator.control_stack_height();
                    within("nested blocks in one function", depth.into(), self.bounds.nesting).map_err(here)?;
                    loops += u64::from(matches!(operator, Operator::Loop { .. }));
                    fixed("loops in one function", loops, bounds::LOOPS).map_err(here)?;
                }
                Operator::Br { .. } | Operator::BrIf { .. } => ways += 1,
                Operator::BrTable { targets: table } => {
                    targets += u64::from(table.len()) + 1;
                    ways += u64::from(table.len()) + 1;
                    fixed("branch targets in one function", targets, bounds::BRANCH_TARGETS).map_err(here)?;
                }
                _ => {}
            }
            fixed("locals times ways through one function", locals * ways, bounds::WEB).map_err(here)?;
            validator.op(offset, &operator)?;
            let operands = validator.operand_stack_height();
            fixed("values on one function's stack", operands.into(), bounds::OPERANDS.into()).map_err(here)?;
        }
        operators.finish()?;
        Ok(())
    }
}

fn longest(module: &str, name: &str) -> u64 {
    module.len().max(name.len()) as u64
}

fn twice(name: &str) -> Fault {
    Fault::new(Kind::InvalidModule, format!("two exports have the same name {name:?}"))
}
