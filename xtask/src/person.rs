//! Somebody who types commands: with folders of their own, so that several people can be played on one
//! computer. Loud people's commands and answers are shown as in a terminal.

use std::{
    env, fs,
    io::{self, BufRead, BufReader, IsTerminal, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::workspace::quote;

/// A person's XDG folders, by variable and name.
const XDG: [(&str, &str); 5] = [
    ("XDG_CONFIG_HOME", "config"),
    ("XDG_STATE_HOME", "state"),
    ("XDG_DATA_HOME", "data"),
    ("XDG_CACHE_HOME", "cache"),
    ("XDG_RUNTIME_DIR", "run"),
];

/// The beginning of every link that lets somebody in.
const LINK: &str = "compute-share://";

/// Whether what a person does is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    Loud,
    Silent,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) handle: String,
    /// Where the programs are.
    programs: PathBuf,
    home: PathBuf,
    voice: Voice,
    /// A process whose network this person's commands run in; `None` is this process's own.
    network: Option<u32>,
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    line: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Person {
    /// Makes a person whose folders are under `folder`.
    ///
    /// # Errors
    /// The folders cannot be made.
    pub(crate) fn new(folder: &Path, handle: &str, programs: &Path, voice: Voice) -> Result<Self> {
        let person = Self {
            handle: handle.to_owned(),
            programs: programs.to_owned(),
            home: folder.join(handle),
            voice,
            network: None,
        };
        for (_, path) in person.variables() {
            fs::create_dir_all(&path)
                .with_context(|| format!("cannot make the folder {}", path.display()))?;
        }
        Ok(person)
    }

    /// Moves this person to the network of another process.
    pub(crate) fn move_to(mut self, network: u32) -> Self {
        self.network = Some(network);
        self
    }

    /// Returns the folder that this person is in.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the variables that make a shell this person's.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let below = |(name, folder)| (name, self.home.join(".local").join(folder));
        XDG.into_iter().map(below)
    }

    /// Returns a command as this person would start it; its first word names the program.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let (program, arguments) = words.split_first().unwrap_or((&"", &[]));
        let program = self.programs.join(program);
        let mut command = match self.network {
            None => Command::new(program),
            Some(network) => {
                let mut enter = Command::new("nsenter");
                enter.args(["--net", "--target", &network.to_string(), "--"]);
                enter.arg(program);
                enter
            }
        };
        command.args(arguments).current_dir(&self.home);
        command.env("HOME", &self.home).envs(self.variables());
        command.stdin(Stdio::null());
        command
    }

    /// Prints what this person types.
    pub(crate) fn types(&self, line: &str) {
        if self.voice == Voice::Silent {
            return;
        }
        let prompt = format!("{}$ {line}", self.handle);
        if io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none() {
            println!("\n\x1b[1m{prompt}\x1b[0m");
        } else {
            println!("\n{prompt}");
        }
    }

    /// Runs a command to its end, whatever that is.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn tries(&self, words: &[&str]) -> Result<Finished> {
        let line: Vec<String> = words.iter().map(|word| quote(word)).collect();
        let line = line.join(" ");
        self.types(&line);
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = command.spawn();
        let mut child = child.with_context(|| format!("cannot start `{line}`"))?;
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let voice = self.voice;
        let err = thread::spawn(move || err.map(|pipe| relay(pipe, voice, &mut io::stderr())));
        let stdout = out.map(|pipe| relay(pipe, voice, &mut io::stdout()));
        let stderr = err.join().ok().flatten();
        let status = child.wait();
        let status = status.with_context(|| format!("cannot wait for `{line}`"))?;
        Ok(Finished {
            line,
            code: status.code(),
            stdout: stdout.unwrap_or_default(),
            stderr: stderr.unwrap_or_default(),
        })
    }

    /// Runs a command that has to succeed.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn does(&self, words: &[&str]) -> Result<Finished> {
        let finished = self.tries(words)?;
        finished.expect_code(0)?;
        Ok(finished)
    }

    /// Runs a command silently and returns its JSON.
    ///
    /// # Errors
    /// It does not succeed, or prints no JSON.
    pub(crate) fn asks(&self, words: &[&str]) -> Result<Value> {
        self.asks_to_run(words, &[])
    }

    /// As [`Person::asks`], for a command that ends with a job's program.
    ///
    /// # Errors
    /// It does not succeed, or prints no JSON.
    pub(crate) fn asks_to_run(&self, words: &[&str], program: &[&str]) -> Result<Value> {
        let silent = Self {
            voice: Voice::Silent,
            ..self.clone()
        };
        let finished = silent.does(&[words, &["-o", "json"], program].concat())?;
        let value = serde_json::from_str(&finished.stdout);
        value.with_context(|| format!("`{}` printed {:?}", finished.line, finished.stdout))
    }
}

impl Finished {
    /// Checks the exit code.
    ///
    /// # Errors
    /// It is another one; the text has what the command printed.
    pub(crate) fn expect_code(&self, code: i32) -> Result<()> {
        if self.code == Some(code) {
            return Ok(());
        }
        let Self {
            line,
            stdout,
            stderr,
            ..
        } = self;
        let ended = self
            .code
            .map_or_else(|| "by a signal".to_owned(), |code| format!("with {code}"));
        bail!("`{line}` ended {ended} instead of {code}\n{stdout}{stderr}")
    }

    /// Returns the link that the command printed.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn link(&self) -> Result<&str> {
        let mut words = self.stdout.split_whitespace();
        let link = words.find(|word| word.starts_with(LINK));
        link.with_context(|| format!("`{}` printed no link: {}", self.line, self.stdout))
    }

    /// Returns the first number that the command printed, as `submit` prints a job's.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn number(&self) -> Result<&str> {
        let mut words = self.stdout.split(|c: char| !c.is_ascii_digit());
        let number = words.find(|word| !word.is_empty());
        number.with_context(|| format!("`{}` printed no number: {}", self.line, self.stdout))
    }
}

/// Passes every line on as it comes, and returns them all.
fn relay(pipe: impl Read, voice: Voice, to: &mut impl Write) -> String {
    let mut lines = BufReader::new(pipe);
    let mut all = String::new();
    let mut line = Vec::new();
    while lines
        .read_until(b'\n', &mut line)
        .is_ok_and(|bytes| bytes > 0)
    {
        let text = String::from_utf8_lossy(&line);
        if voice == Voice::Loud {
            let _nobody_looks = to.write_all(text.as_bytes()).and_then(|()| to.flush());
        }
        all.push_str(&text);
        line.clear();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(stdout: &str) -> Finished {
        Finished {
            line: "x".to_owned(),
            code: Some(3),
            stdout: stdout.to_owned(),
            stderr: String::new(),
        }
    }

    #[test]
    fn links_and_numbers_are_found_in_what_people_read() {
        let link = "compute-share://127.0.0.1:7443/join/ab/cd";
        let text = format!("Send this link to one person:\n\n  {link}\n");
        assert_eq!(finished(&text).link().unwrap(), link);
        assert!(finished("no link\n").link().is_err());
        assert_eq!(finished("Submitted job 42.\n").number().unwrap(), "42");
        assert!(finished("nothing\n").number().is_err());
    }

    #[test]
    fn an_unexpected_end_says_what_was_printed() {
        assert!(finished("").expect_code(3).is_ok());
        let error = finished("the reason\n").expect_code(0).unwrap_err();
        assert!(error.to_string().contains("the reason"), "{error}");
    }
}
