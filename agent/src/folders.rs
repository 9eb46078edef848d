//! Where a person's things are: the XDG folders, chosen by hand so that several people can be played on one
//! computer by setting their variables. Creates nothing.

use std::path::{Path, PathBuf};

use common::{code::Code, problem::Problem};

/// Our part of every XDG folder.
const OURS: &str = "compute-share";

/// The folders of whoever runs this program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// The member's credentials.
    pub config: PathBuf,
    /// What the agent keeps of this machine.
    pub agent: PathBuf,
    /// What may be lost.
    pub cache: PathBuf,
}

impl Folders {
    /// Returns the folders that the environment names; `agent` where it is given.
    ///
    /// # Errors
    /// Neither the XDG variables nor `HOME` say where.
    pub fn from_env(agent: Option<&Path>) -> Result<Self, Problem> {
        Self::choose(agent, |name| std::env::var_os(name).map(PathBuf::from))
    }

    fn choose(
        agent: Option<&Path>,
        variable: impl Fn(&str) -> Option<PathBuf>,
    ) -> Result<Self, Problem> {
        let base = |name: &str, below_home: &str| {
            let given = variable(name).filter(|path| path.is_absolute());
            given.or_else(|| Some(absolute_home(&variable)?.join(below_home)))
        };
        let no_home = || {
            let what = "cannot tell where your files are";
            Problem::new(Code::Config, what, "HOME is not set to an absolute path")
                .help("Set HOME, or XDG_CONFIG_HOME and XDG_STATE_HOME.")
        };
        let config = base("XDG_CONFIG_HOME", ".config").ok_or_else(no_home)?;
        let agent = match agent {
            Some(given) => std::path::absolute(given).unwrap_or_else(|_| given.to_owned()),
            None => base("XDG_STATE_HOME", ".local/state")
                .ok_or_else(no_home)?
                .join(OURS)
                .join("agent"),
        };
        let cache = base("XDG_CACHE_HOME", ".cache").ok_or_else(no_home)?;
        Ok(Self {
            config: config.join(OURS),
            agent,
            cache: cache.join(OURS),
        })
    }
}

fn absolute_home(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    variable("HOME").filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(variables: &[(&str, &str)], agent: Option<&str>, expect: Option<(&str, &str)>) {
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name)?;
            Some(PathBuf::from(found.1))
        };
        let folders = Folders::choose(agent.map(Path::new), variable).ok();
        let folders = folders.map(|folders| (folders.config, folders.agent));
        let expect = expect.map(|(config, agent)| (config.into(), agent.into()));
        assert_eq!(folders, expect);
    }

    #[test]
    fn folders_follow_xdg_then_home() {
        let home = ("HOME", "/h");
        let (config, agent) = (
            "/h/.config/compute-share",
            "/h/.local/state/compute-share/agent",
        );
        check(&[home], None, Some((config, agent)));
        let xdg = [home, ("XDG_CONFIG_HOME", "/c"), ("XDG_STATE_HOME", "/s")];
        check(
            &xdg,
            None,
            Some(("/c/compute-share", "/s/compute-share/agent")),
        );
        check(&xdg, Some("/data"), Some(("/c/compute-share", "/data")));
        check(
            &[home, ("XDG_CONFIG_HOME", "relative")],
            None,
            Some((config, agent)),
        );
        let cache = |variables: &[(&str, &str)]| {
            let variable = |name: &str| {
                let found = variables.iter().find(|(key, _)| *key == name)?;
                Some(PathBuf::from(found.1))
            };
            Folders::choose(None, variable)
                .ok()
                .map(|folders| folders.cache)
        };
        assert_eq!(cache(&[home]), Some("/h/.cache/compute-share".into()));
        let elsewhere = cache(&[home, ("XDG_CACHE_HOME", "/k")]);
        assert_eq!(elsewhere, Some("/k/compute-share".into()));
        check(&[], None, None);
        check(&[("HOME", "")], None, None);
    }
}
