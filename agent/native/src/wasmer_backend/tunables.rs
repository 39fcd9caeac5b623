//! How memories, tables and globals of one instance are made.

use std::cell::RefCell;
use std::ptr::NonNull;

use wasmer::sys::BaseTunables;
use wasmer_compiler::Tunables as WasmerTunables;
use wasmer_types::{GlobalType, MemoryStyle, MemoryType, Pages, TableStyle, TableType};
use wasmer_vm::{MemoryError, VMGlobal, VMGlobalDefinition, VMMemory, VMMemoryDefinition, VMTable, VMTableDefinition};

use super::memory::PooledMemory;
use crate::host::Refusal;

/// Elements to which a table may grow; one element is a pointer.
const TABLE_ELEMENTS: u32 = 65_536;

/// Addresses inside an instance, noted while it is made.
#[derive(Default)]
pub struct Noted {
    pub memory: Option<NonNull<VMMemoryDefinition>>,
    /// The last two are the metering's tank and its floor.
    pub globals: Vec<NonNull<VMGlobalDefinition>>,
}

pub struct Tunables {
    cap: Pages,
    refused: *mut Option<Refusal>,
    noted: RefCell<Noted>,
}

// SAFETY: only the compiling tunables are shared, and those never write `noted`.
unsafe impl Sync for Tunables {}
// SAFETY: the pointers in `noted` are used by the thread that makes the instance.
unsafe impl Send for Tunables {}

impl Tunables {
    /// For one instance with at most `cap` pages of memory; `refused` lives longer, and is told of what it is not given.
    pub fn for_instance(cap: Pages, refused: *mut Option<Refusal>) -> Self {
        Self { cap, refused, noted: RefCell::default() }
    }

    /// For compiling, which asks for styles only.
    pub fn for_compiling() -> Self {
        Self::for_instance(Pages(0), std::ptr::null_mut())
    }

    pub fn noted(self) -> Noted {
        self.noted.into_inner()
    }
}

fn base() -> BaseTunables {
    BaseTunables {
        static_memory_bound: Pages(0),
        static_memory_offset_guard_size: 0,
        dynamic_memory_offset_guard_size: 0,
    }
}

impl WasmerTunables for Tunables {
    /// Explicit bounds checks and no guard pages: growing is a store, no system call, and a region can be used again
    /// without touching its protection.
    fn memory_style(&self, _: &MemoryType) -> MemoryStyle {
        MemoryStyle::Dynamic { offset_guard_size: 0 }
    }

    fn table_style(&self, _: &TableType) -> TableStyle {
        TableStyle::CallerChecksSignature
    }

    fn create_host_memory(&self, _: &MemoryType, _: &MemoryStyle) -> Result<VMMemory, MemoryError> {
        Err(MemoryError::Generic("the host makes no memories".into()))
    }

    unsafe fn create_vm_memory(
        &self,
        ty: &MemoryType,
        style: &MemoryStyle,
        location: NonNull<VMMemoryDefinition>,
    ) -> Result<VMMemory, MemoryError> {
        self.noted.borrow_mut().memory = Some(location);
        // SAFETY: the engine's contract for `location` is handed on.
        let memory = unsafe { PooledMemory::new(*ty, *style, self.cap, self.refused, location) }?;
        Ok(VMMemory(Box::new(memory)))
    }

    fn create_host_table(&self, ty: &TableType, style: &TableStyle) -> Result<VMTable, String> {
        base().create_host_table(ty, style)
    }

    unsafe fn create_vm_table(
        &self,
        ty: &TableType,
        style: &TableStyle,
        location: NonNull<VMTableDefinition>,
    ) -> Result<VMTable, String> {
        let cap = TABLE_ELEMENTS.max(ty.minimum);
        let mut ty = *ty;
        ty.maximum = Some(ty.maximum.unwrap_or(cap).min(cap));
        // SAFETY: the engine's contract for `location` is handed on.
        unsafe { base().create_vm_table(&ty, style, location) }
    }

    unsafe fn create_vm_global(
        &self,
        ty: GlobalType,
        location: NonNull<VMGlobalDefinition>,
    ) -> Result<VMGlobal, String> {
        self.noted.borrow_mut().globals.push(location);
        // SAFETY: the engine's contract for `location` is handed on.
        unsafe { Ok(VMGlobal::new_instance(ty, location)) }
    }
}
