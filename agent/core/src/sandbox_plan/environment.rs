//! The command of a job, and its whole environment: nothing is inherited.

use std::collections::BTreeMap;

use common::name::Name;

use crate::params::VARIABLE;

use super::{
    OUTPUT, PlanInput, WORK,
    gpu::{gpu_defaults, gpu_fixed},
    network::variables,
};

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What the supervisor reserves of the environment; a job cannot set these itself.
const RESERVED_PREFIX: &str = "COMPUTE_SHARE_";

/// Returns what the job was submitted with, or what the task's parameters made of it.
pub(super) fn command<'a>(input: &PlanInput<'a>) -> &'a [String] {
    let filled = input.params.map(|filled| &filled.command);
    filled.unwrap_or(&input.spec.command)
}

pub(super) fn environment(input: &PlanInput<'_>) -> BTreeMap<String, String> {
    let PlanInput { attempt, spec, .. } = input;
    let mut env = BTreeMap::new();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    for (name, value) in [("PATH", PATH), ("LANG", "C.UTF-8")] {
        set(name, value.to_owned());
    }
    for (name, value) in input.image.into_iter().flat_map(|image| &image.env) {
        if !name.starts_with(RESERVED_PREFIX) {
            set(name, value.clone());
        }
    }
    for (name, value) in [("HOME", WORK), ("USER", "job"), ("TMPDIR", "/tmp")] {
        set(name, value.to_owned());
    }
    gpu_defaults(input, &mut env);
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    for (name, value) in variables(spec.network) {
        set(&name, value);
    }
    for (name, value) in &spec.env {
        if !name.starts_with(RESERVED_PREFIX) {
            set(name, value.clone());
        }
    }
    for (name, value) in [
        ("COMPUTE_SHARE_JOB_ID", attempt.job.to_string()),
        ("COMPUTE_SHARE_JOB_NUMBER", spec.job_number.to_string()),
        ("COMPUTE_SHARE_TASK_INDEX", attempt.task.to_string()),
        ("COMPUTE_SHARE_TASK_COUNT", spec.task_count.to_string()),
        ("COMPUTE_SHARE_ATTEMPT", attempt.number.to_string()),
        ("COMPUTE_SHARE_OUTPUT_DIR", OUTPUT.to_owned()),
        ("COMPUTE_SHARE_MACHINE", input.machine.to_string()),
    ] {
        set(name, value);
    }
    if spec.restore.is_some() {
        set("COMPUTE_SHARE_RESTORED", "1".to_owned());
    }
    if let Some(filled) = input.params {
        env.insert(VARIABLE.to_owned(), filled.line.clone());
    }
    if !spec.nodes.is_empty() {
        let names: Vec<&str> = spec.nodes.iter().map(Name::as_str).collect();
        for (name, value) in [
            ("COMPUTE_SHARE_NODE_RANK", attempt.task.to_string()),
            ("COMPUTE_SHARE_NODE_COUNT", names.len().to_string()),
            ("COMPUTE_SHARE_NODE_NAMES", names.join(",")),
        ] {
            env.insert(name.to_owned(), value);
        }
    }
    gpu_fixed(input, &mut env);
    env
}
