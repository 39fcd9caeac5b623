//! Fuel: every operator costs one unit, taken from a global that the guest cannot name.
//!
//! `wasmer-middlewares` checks the tank wherever it charges. Here a straight line of code only pays, and the tank is
//! looked at where code can repeat itself: before each branch back to a loop and at the entry of each function. The tank may
//! fall below zero on the way to the next of these, by less than the length of one function body; the run is ended
//! there, or after it. That makes half as much code, and leaves the watchdog a place to stop the guest in every cycle:
//! the tank is compared with a second global, its floor, which is zero until the watchdog raises it and which generated
//! code never writes.

use std::mem;
use std::sync::{Mutex, PoisonError};

use wasmer::sys::wasmparser::{BlockType, Operator};
use wasmer::sys::{FunctionMiddleware, MiddlewareError, MiddlewareReaderState, ModuleMiddleware};
use wasmer_types::{GlobalIndex, GlobalInit, GlobalType, LocalFunctionIndex, ModuleInfo, Mutability, Type};

/// For one module: it remembers the index of the tank; the floor is the next one.
#[derive(Debug, Default)]
pub struct Metering {
    tank: Mutex<Option<GlobalIndex>>,
}

impl ModuleMiddleware for Metering {
    fn transform_module_info(&self, module: &mut ModuleInfo) -> Result<(), MiddlewareError> {
        // Behind the guest's own globals: no index that the guest could validly use reaches it.
        let tank = module.globals.push(GlobalType::new(Type::I64, Mutability::Var));
        module.globals.push(GlobalType::new(Type::I64, Mutability::Var));
        module.global_initializers.push(GlobalInit::I64Const(0));
        module.global_initializers.push(GlobalInit::I64Const(0));
        *self.tank.lock().unwrap_or_else(PoisonError::into_inner) = Some(tank);
        Ok(())
    }

    fn generate_function_middleware<'a>(&self, _: LocalFunctionIndex) -> Box<dyn FunctionMiddleware<'a> + 'a> {
        let tank = self.tank.lock().unwrap_or_else(PoisonError::into_inner);
        let tank = tank.expect("the module is transformed before its functions").as_u32();
        Box::new(Meter { tank, cost: 0, entered: false, loops: Vec::new() })
    }
}

/// Meters one function.
#[derive(Debug)]
struct Meter {
    tank: u32,
    /// Operators since the last charge.
    cost: i64,
    entered: bool,
    /// Whether each open block is a loop.
    loops: Vec<bool>,
}

impl Meter {
    /// Whether the operator may branch back to the head of a loop.
    fn repeats(&self, operator: &Operator<'_>) -> bool {
        let back = |depth: u32| {
            let index = self.loops.len().checked_sub(depth as usize + 1);
            index.is_some_and(|index| self.loops[index])
        };
        match operator {
            Operator::Br { relative_depth } | Operator::BrIf { relative_depth } => back(*relative_depth),
            Operator::BrTable { targets } => {
                back(targets.default()) || targets.targets().any(|target| target.is_ok_and(back))
            }
            _ => false,
        }
    }

    fn charge(&mut self, state: &mut MiddlewareReaderState<'_>) {
        let cost = mem::take(&mut self.cost);
        if cost > 0 {
            state.extend(&[
                Operator::GlobalGet { global_index: self.tank },
                Operator::I64Const { value: cost },
                Operator::I64Sub,
                Operator::GlobalSet { global_index: self.tank },
            ]);
        }
    }

    fn check(&self, state: &mut MiddlewareReaderState<'_>) {
        state.extend(&[
            Operator::GlobalGet { global_index: self.tank },
            Operator::GlobalGet { global_index: self.tank + 1 },
            Operator::I64LtS,
            Operator::If { blockty: BlockType::Empty },
            Operator::Unreachable,
            Operator::End,
        ]);
    }
}

impl<'a> FunctionMiddleware<'a> for Meter {
    fn feed(&mut self, operator: Operator<'a>, state: &mut MiddlewareReaderState<'a>) -> Result<(), MiddlewareError> {
        if !mem::replace(&mut self.entered, true) {
            self.check(state);
        }
        self.cost += 1;
        match &operator {
            Operator::Loop { .. } => self.loops.push(true),
            Operator::Block { .. } | Operator::If { .. } => self.loops.push(false),
            Operator::End => drop(self.loops.pop()),
            _ => {}
        }
        if leaves(&operator) {
            self.charge(state);
        }
        if self.repeats(&operator) {
            self.check(state);
        }
        state.push_operator(operator);
        Ok(())
    }
}

/// Whether control may go elsewhere than to the next operator, or come from elsewhere.
fn leaves(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::Return
    )
}
