//! How a job's program is found and started, in the process that becomes it.

use std::{
    ffi::{CStr, CString},
    path::Path,
};

use agent_core::sandbox_plan::SandboxPlan;

use super::{confine, system};

/// Runs the job's program as a shell would find it; returns the error, and whether there was a file at all.
pub(super) fn execute(plan: &SandboxPlan) -> (i32, bool) {
    let text = |text: &str| CString::new(text).map_err(|_| (libc::EINVAL, false));
    let strings = |texts: Vec<String>| {
        let made: Result<Vec<CString>, _> = texts.iter().map(|t| text(t)).collect();
        made
    };
    let arguments = strings(plan.command.clone());
    let env = plan
        .env
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let (arguments, env) = match (arguments, strings(env.collect())) {
        (Ok(arguments), Ok(env)) => (arguments, env),
        (Err(error), _) | (_, Err(error)) => return error,
    };
    let name = plan.command.first().map_or("", String::as_str);
    let folders = if name.contains('/') {
        ""
    } else {
        plan.env.get("PATH").map_or("", String::as_str)
    };
    let paths = folders.split(':').map(|folder| match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    });
    let paths: Vec<(String, CString)> = paths
        .filter_map(|path| Some((path.clone(), CString::new(path).ok()?)))
        .collect();
    // From here on nothing large is asked for.
    if let Err(error) = confine::limit_mapped(plan) {
        return (error.raw_os_error().unwrap_or(libc::EIO), true);
    }
    let mut best = (libc::ENOENT, false);
    for (path, program) in &paths {
        let errno = execute_one(program, &arguments, &env);
        let exists = Path::new(path).exists();
        if exists || errno != libc::ENOENT && !best.1 {
            best = (errno, exists);
        }
        if exists && errno != libc::EACCES {
            break;
        }
    }
    best
}

/// Tries one file; a script without a first line that names its interpreter is the shell's.
fn execute_one(program: &CStr, arguments: &[CString], env: &[CString]) -> i32 {
    let error = system::execute(program, arguments, env);
    if error.raw_os_error() == Some(libc::ENOEXEC) {
        let mut script = vec![c"sh".to_owned(), program.to_owned()];
        script.extend(arguments.iter().skip(1).cloned());
        system::execute(c"/bin/sh", &script, env);
    }
    error.raw_os_error().unwrap_or(libc::EIO)
}
