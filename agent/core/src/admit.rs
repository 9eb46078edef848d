//! Whether this machine takes an attempt that it was given: the last word is its owner's.

use common::{
    status::{EndReason, IsolationLevel},
    wire::agent::AttemptSpec,
};

/// Why an attempt is not taken, as its end says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: EndReason,
    pub detail: String,
}

/// Whether the owner lends anything new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lending {
    Open,
    Paused,
}

/// Decides whether an attempt is run here.
///
/// # Errors
/// The machine is paused (the attempt crossed the pause on its way), or it cannot hold in what others send.
pub fn admit(spec: &AttemptSpec, level: IsolationLevel, lending: Lending) -> Result<(), Refusal> {
    if lending == Lending::Paused {
        return Err(Refusal {
            reason: EndReason::MachineOwner,
            detail: "the machine's owner had paused it".to_owned(),
        });
    }
    if level == IsolationLevel::D && !spec.own_machine {
        return Err(Refusal {
            reason: EndReason::RefusedByMachine,
            detail: "this machine cannot isolate jobs (level d) and runs only its owner's own"
                .to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::spec;

    #[test]
    fn only_what_the_owner_and_the_kernel_allow_is_taken() {
        let reason = |own_machine, level, lending| {
            let spec = AttemptSpec {
                own_machine,
                ..spec()
            };
            admit(&spec, level, lending).map_err(|refusal| refusal.reason)
        };
        assert_eq!(reason(false, IsolationLevel::C, Lending::Open), Ok(()));
        assert_eq!(
            reason(true, IsolationLevel::A, Lending::Paused),
            Err(EndReason::MachineOwner)
        );
        assert_eq!(
            reason(false, IsolationLevel::D, Lending::Open),
            Err(EndReason::RefusedByMachine)
        );
        assert_eq!(reason(true, IsolationLevel::D, Lending::Open), Ok(()));
    }
}
