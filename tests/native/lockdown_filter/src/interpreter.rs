//! Runs seccomp programs as the kernel does (kernel/seccomp.c, `seccomp_run_filters`): the strictest answer counts.

use seccompiler::{BpfProgram, sock_filter};

/// What the kernel shows a program: `struct seccomp_data` (linux/seccomp.h) without the instruction pointer.
pub struct Call {
    pub nr: u32,
    pub arch: u32,
    pub args: [u64; 6],
}

/// What becomes of the call, strictest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Answer {
    Kill,
    Errno(u32),
    Allow,
}

/// The answer of all programs together.
pub fn judge(programs: &[BpfProgram], call: &Call) -> Answer {
    programs.iter().map(|program| run(program, call)).min().expect("at least one program")
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.nr,
            4 => self.arch,
            16..64 => {
                let arg = self.args[(offset as usize - 16) / 8];
                if offset.is_multiple_of(8) { arg as u32 } else { (arg >> 32) as u32 }
            }
            _ => panic!("a load from {offset}"),
        }
    }
}

/// The instructions that seccompiler emits (linux/bpf_common.h); any other is a failure.
fn run(program: &[sock_filter], call: &Call) -> Answer {
    let mut a = 0_u32;
    let mut at = 0;
    loop {
        let line = &program[at];
        at += 1;
        let jump = |taken: bool| usize::from(if taken { line.jt } else { line.jf });
        match line.code {
            0x20 => a = call.word(line.k),   // LD W ABS
            0x54 => a &= line.k,             // AND K
            0x05 => at += line.k as usize,   // JA
            0x15 => at += jump(a == line.k), // JEQ K
            0x25 => at += jump(a > line.k),  // JGT K
            0x35 => at += jump(a >= line.k), // JGE K
            0x06 => return answer(line.k),   // RET K
            code => panic!("instruction {code:#x}"),
        }
    }
}

fn answer(value: u32) -> Answer {
    match value & 0xffff_0000 {
        0x8000_0000 => Answer::Kill,
        0x0005_0000 => Answer::Errno(value & 0xffff),
        0x7fff_0000 => Answer::Allow,
        _ => panic!("answer {value:#x}"),
    }
}
