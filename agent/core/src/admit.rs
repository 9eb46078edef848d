//! Whether this machine takes an attempt that it was given: the last word is its owner's.

use common::{
    machine::{Admits, Pause, PausedBy},
    name::Name,
    status::{EndReason, IsolationLevel, Network},
    wire::agent::{AttemptImage, AttemptSpec},
};

/// Why an attempt is not taken, as its end says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: EndReason,
    pub detail: String,
}

/// Decides whether an attempt is run here. The owner's own jobs are held by the owner's command alone, not by
/// the owner's rules.
///
/// # Errors
/// The machine is paused (the attempt crossed the pause on its way), its owner does not let such jobs in, or it
/// cannot hold in what others send.
pub fn admit(
    spec: &AttemptSpec,
    level: IsolationLevel,
    pause: Option<&Pause>,
    admits: &Admits,
) -> Result<(), Refusal> {
    let ruled = |pause: &&Pause| pause.by == PausedBy::Rule && spec.own_machine;
    if let Some(pause) = pause.filter(|pause| !ruled(pause)) {
        return Err(Refusal {
            reason: EndReason::MachineOwner,
            detail: paused(pause),
        });
    }
    let refused = if spec.own_machine {
        None
    } else if level == IsolationLevel::D {
        let text = "this machine cannot isolate jobs (level d) and runs only its owner's own";
        Some(text.to_owned())
    } else {
        not_admitted(spec, admits)
    };
    refused.map_or(Ok(()), |detail| {
        Err(Refusal {
            reason: EndReason::RefusedByMachine,
            detail,
        })
    })
}

fn paused(pause: &Pause) -> String {
    match (pause.by, pause.reason.as_str()) {
        (PausedBy::Draining, _) => "the machine's agent was about to stop".to_owned(),
        (PausedBy::Command, "") => "the machine's owner had paused it".to_owned(),
        (_, reason) => reason.to_owned(),
    }
}

/// Returns what of an attempt the owner does not let in.
fn not_admitted(spec: &AttemptSpec, admits: &Admits) -> Option<String> {
    let submitter = &spec.submitter;
    let project = spec.project.as_ref();
    if !admits.lets_in(Some(submitter), project, <[Name]>::contains) {
        let what = match project {
            None => format!("jobs of {submitter}"),
            Some(project) => format!("jobs of {submitter} of project {project}"),
        };
        return Some(format!("the machine's owner lets no {what} in"));
    }
    if spec.network != Network::None && !admits.networks.contains(&spec.network) {
        let network = spec.network;
        return Some(format!(
            "the machine's owner allows jobs no network of the kind {network}"
        ));
    }
    if !admits.images && spec.image != AttemptImage::Host {
        return Some("the machine's owner allows jobs no images".to_owned());
    }
    let most = admits.max_runtime?;
    match spec.max_runtime {
        Some(asked) if asked <= most => None,
        Some(asked) => Some(format!(
            "the machine's owner allows jobs {most}, and this one may run for {asked}"
        )),
        None => Some(format!(
            "the machine's owner allows jobs {most}, and this one has no time limit"
        )),
    }
}

#[cfg(test)]
mod tests {
    use common::time::Span;

    use super::*;
    use crate::testing::spec;

    fn pause(by: PausedBy, reason: &str) -> Pause {
        Pause {
            until: None,
            reason: reason.to_owned(),
            by,
        }
    }

    #[test]
    fn only_what_the_owner_and_the_kernel_allow_is_taken() {
        let everybody = Admits::default();
        let reason = |own_machine, level, pause: Option<Pause>| {
            let spec = AttemptSpec {
                own_machine,
                ..spec()
            };
            admit(&spec, level, pause.as_ref(), &everybody).map_err(|refusal| refusal.reason)
        };
        let (own, other) = (true, false);
        let by_hand = || Some(pause(PausedBy::Command, ""));
        let by_rule = || Some(pause(PausedBy::Rule, "its owner is at the keyboard"));
        let drained = || Some(pause(PausedBy::Draining, ""));
        assert_eq!(reason(other, IsolationLevel::C, None), Ok(()));
        assert_eq!(reason(own, IsolationLevel::D, None), Ok(()));
        assert_eq!(reason(own, IsolationLevel::A, by_rule()), Ok(()));
        for held in [
            reason(own, IsolationLevel::A, by_hand()),
            reason(own, IsolationLevel::A, drained()),
            reason(other, IsolationLevel::A, by_rule()),
        ] {
            assert_eq!(held, Err(EndReason::MachineOwner));
        }
        assert_eq!(
            reason(other, IsolationLevel::D, None),
            Err(EndReason::RefusedByMachine)
        );
    }

    #[test]
    fn who_and_what_the_owner_does_not_let_in_is_refused_in_words() {
        let admits: Admits = Admits {
            members: Some(vec!["alice".parse().unwrap(), "mallory".parse().unwrap()]),
            not_members: vec!["mallory".parse().unwrap()],
            networks: vec![Network::None, Network::Internet],
            images: false,
            max_runtime: Some(Span::from_secs(3600)),
            projects: Some(vec!["vision".parse().unwrap()]),
            not_projects: vec!["games".parse().unwrap()],
        };
        let hour = AttemptSpec {
            max_runtime: Some(Span::from_secs(3600)),
            ..spec()
        };
        let by = |handle: &str| AttemptSpec {
            submitter: handle.parse().unwrap(),
            ..hour.clone()
        };
        let image = AttemptImage::Imported {
            name: "mine@1".to_owned(),
            tree: common::id::TreeId::new([1; 32]),
        };
        let check = |spec: &AttemptSpec, expect: Option<&str>| {
            let refused = admit(spec, IsolationLevel::C, None, &admits).err();
            match (refused, expect) {
                (None, None) => {}
                (Some(refused), Some(expect)) => {
                    assert_eq!(refused.reason, EndReason::RefusedByMachine);
                    assert!(refused.detail.contains(expect), "{}", refused.detail);
                }
                (refused, expect) => panic!("{refused:?} instead of {expect:?}"),
            }
        };
        check(&hour, None);
        check(&by("mallory"), Some("no jobs of mallory"));
        check(&by("carol"), Some("no jobs of carol in"));
        let of = |handle: &str, project: &str| AttemptSpec {
            project: Some(project.parse().unwrap()),
            ..by(handle)
        };
        check(&of("carol", "vision"), None);
        check(&of("alice", "other"), None);
        check(
            &of("alice", "games"),
            Some("no jobs of alice of project games in"),
        );
        check(&of("mallory", "vision"), Some("no jobs of mallory"));
        let network = |network| AttemptSpec {
            network,
            ..hour.clone()
        };
        check(&network(Network::Internet), None);
        check(&network(Network::Full), Some("no network of the kind full"));
        check(
            &AttemptSpec {
                image,
                ..hour.clone()
            },
            Some("allows jobs no images"),
        );
        let unlimited = AttemptSpec {
            max_runtime: None,
            ..hour.clone()
        };
        check(&unlimited, Some("has no time limit"));
        let own = AttemptSpec {
            own_machine: true,
            ..by("mallory")
        };
        check(&own, None);
    }
}
