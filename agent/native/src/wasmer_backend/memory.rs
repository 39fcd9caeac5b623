//! A linear memory in a region of the pool.

use std::ptr::NonNull;

use wasmer_types::{MemoryStyle, MemoryType, Pages};
use wasmer_vm::{LinearMemory, MemoryError, VMMemoryDefinition};

use super::region::Region;
use crate::host::Refusal;

/// Bytes of a WebAssembly page.
pub const PAGE: usize = 65_536;

#[derive(Debug)]
pub struct PooledMemory {
    ty: MemoryType,
    style: MemoryStyle,
    /// What the module declared and the run allows, whichever is less.
    maximum: Pages,
    refused: *mut Option<Refusal>,
    size: Pages,
    definition: NonNull<VMMemoryDefinition>,
    region: Option<Region>,
}

// SAFETY: the definition lies in the instance that owns this memory, `refused` in its environment; all of them move
// between threads together.
unsafe impl Send for PooledMemory {}
// SAFETY: changes go through `&mut self`.
unsafe impl Sync for PooledMemory {}

impl PooledMemory {
    /// # Safety
    /// `definition` and `refused` must be valid as long as the memory is used.
    pub unsafe fn new(
        ty: MemoryType,
        style: MemoryStyle,
        cap: Pages,
        refused: *mut Option<Refusal>,
        definition: NonNull<VMMemoryDefinition>,
    ) -> Result<Self, MemoryError> {
        let maximum = ty.maximum.map_or(cap, |declared| declared.min(cap));
        let region = Region::take(bytes(maximum).max(PAGE))
            .ok_or_else(|| MemoryError::Generic(format!("no address space for {} bytes", bytes(maximum))))?;
        // SAFETY: the caller's contract.
        unsafe {
            definition.write(VMMemoryDefinition { base: region.base, current_length: bytes(ty.minimum) });
        }
        Ok(Self { ty, style, maximum, refused, size: ty.minimum, definition, region: Some(region) })
    }
}

fn bytes(pages: Pages) -> usize {
    pages.0 as usize * PAGE
}

impl LinearMemory for PooledMemory {
    fn ty(&self) -> MemoryType {
        MemoryType { minimum: self.size, ..self.ty }
    }

    fn size(&self) -> Pages {
        self.size
    }

    fn style(&self) -> MemoryStyle {
        self.style
    }

    fn grow(&mut self, delta: Pages) -> Result<Pages, MemoryError> {
        let before = self.size;
        let refused = MemoryError::CouldNotGrow { current: before, attempted_delta: delta };
        let Some(after) = before.checked_add(delta).filter(|after| *after <= self.maximum) else {
            // What the module's own maximum forbids was not refused by the run's limit.
            if before.checked_add(delta).is_some_and(|after| self.ty.maximum.is_none_or(|own| after <= own)) {
                let refusal = Refusal { size: bytes(before) as u64, growth: bytes(delta) as u64 };
                // SAFETY: `new`'s contract; the guest waits for this call.
                unsafe { self.refused.write(Some(refusal)) };
            }
            return Err(refused);
        };
        self.size = after;
        // SAFETY: `new`'s contract; the guest waits for this call.
        unsafe { self.definition.as_mut().current_length = bytes(after) };
        Ok(before)
    }

    fn vmmemory(&self) -> NonNull<VMMemoryDefinition> {
        self.definition
    }

    fn try_clone(&self) -> Result<Box<dyn LinearMemory + Send + Sync + 'static>, MemoryError> {
        Err(MemoryError::MemoryNotShared)
    }

    fn copy(&self) -> Result<Box<dyn LinearMemory + Send + Sync + 'static>, MemoryError> {
        Err(MemoryError::Generic("memories are not copied".into()))
    }
}

impl Drop for PooledMemory {
    fn drop(&mut self) {
        if let Some(region) = self.region.take() {
            region.give_back(bytes(self.size));
        }
    }
}
