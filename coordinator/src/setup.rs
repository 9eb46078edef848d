//! What is done while no coordinator runs: `init`, one more org, and a fresh sign-in link for an owner.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use certs::{Authority, SealingKey};
use common::{
    api::account::CreateLoginLink,
    code::Code,
    id::{OrgId, UserId},
    join_link::{JoinLink, LinkPurpose},
    name::Name,
    problem::Problem,
};
use coordinator_core::{
    Actor, Body, State,
    command::WhoMayCreateOrgs,
    query::{enrolment, secret},
};

use crate::{
    clock::Clock,
    config::{Config, DEFAULT_HEARTBEAT, DEFAULT_LEASE},
    engine::{Clerk, NotDone},
    folder,
    kept::Kept,
    mint, sign_in,
    store::{Book, Opened, Store, chain},
};

/// Where a new coordinator is put together before anything of it is in its place.
const STAGING: &str = ".init";

/// What a new coordinator is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitOptions {
    pub data: PathBuf,
    pub org: Name,
    /// Handle of the org's owner.
    pub owner: Name,
    pub listen: SocketAddr,
    /// `HOST:PORT` that links say.
    pub address: String,
}

/// What `init` has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitOutcome {
    /// Signs the owner in, once.
    pub link: JoinLink,
}

/// Makes a new coordinator: keys, store, org, owner and configuration.
///
/// # Errors
/// There is one in the folder already, or the folder cannot be written. What was begun is then begun anew the
/// next time; a coordinator that is there is never touched.
pub fn init(options: &InitOptions) -> Result<InitOutcome, Problem> {
    let data = &options.data;
    let parts: [fn(&Path) -> PathBuf; 4] = [
        folder::authority,
        folder::sealing_key,
        folder::store,
        folder::config,
    ];
    if let Some(there) = parts
        .map(|part| part(data))
        .iter()
        .find(|part| part.exists())
    {
        return Err(Problem::new(
            Code::AlreadyInitialised,
            format!("No coordinator was made in {}", data.display()),
            format!("{} exists", there.display()),
        ));
    }
    let io = |error: io::Error| {
        let what = format!("No coordinator was made in {}", data.display());
        let code = match error.kind() {
            io::ErrorKind::StorageFull => Code::DiskFull,
            _ => Code::Io,
        };
        Problem::new(code, what, error.to_string())
    };
    link::files::create_private_dir(data).map_err(io)?;
    let staging = data.join(STAGING);
    match fs::remove_dir_all(&staging) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    link::files::create_private_dir(&staging).map_err(io)?;
    let outcome = build(options, &staging)?;
    // The configuration comes last: without it there is no coordinator.
    for part in parts {
        fs::rename(part(&staging), part(data)).map_err(io)?;
    }
    fs::remove_dir(&staging).map_err(io)?;
    fs::File::open(data)
        .and_then(|folder| folder.sync_all())
        .map_err(io)?;
    Ok(outcome)
}

fn build(options: &InitOptions, staging: &Path) -> Result<InitOutcome, Problem> {
    let clock = Arc::new(Clock::default());
    let authority = Authority::create(&folder::authority(staging), &options.org, clock.now());
    let authority = authority.map_err(|error| authority_problem(&error))?;
    let sealing = SealingKey::create(&folder::sealing_key(staging));
    sealing.map_err(|error| sealing_problem(&error))?;
    let store = Store::create(&folder::store(staging))?;
    let mut clerk = Clerk::new(State::new(), store, Arc::clone(&clock));
    let org = OrgId::new(mint::uuid(clock.now()));
    do_one(
        &mut clerk,
        Body::CreateOrg {
            org,
            name: options.org.clone(),
            owner: UserId::new(mint::uuid(clock.now())),
            handle: options.owner.clone(),
        },
    )?;
    let wish = owner_of(org);
    let link = link_for(
        &mut clerk,
        &clock,
        wish,
        &authority,
        options.address.clone(),
    )?;
    let config = Config {
        data: options.data.clone(),
        listen: options.listen,
        address: options.address.clone(),
        lease: DEFAULT_LEASE,
        heartbeat: DEFAULT_HEARTBEAT,
        who_may_create_orgs: WhoMayCreateOrgs::default(),
        upload_rate: None,
        clock_is_right: false,
    };
    let path = folder::config(staging);
    let mode = link::files::PRIVATE_FILE_MODE;
    link::files::write_atomic(&path, config.to_toml().as_bytes(), mode).map_err(|error| {
        let what = format!("{} was not written", path.display());
        Problem::new(Code::Io, what, error.to_string())
    })?;
    Ok(InitOutcome { link })
}

/// What `add-org` has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddOrgOutcome {
    /// The owner is new here: the link signs them in, once.
    NewOwner { link: JoinLink },
    /// The owner is in another org already, and has one more membership now.
    KnownOwner,
}

/// Makes one more org. The coordinator must not be running: its store is opened.
///
/// # Errors
/// The store is in use or cannot be used; there is an org of this name.
pub fn add_org(config: &Config, org: &Name, owner: &Name) -> Result<AddOrgOutcome, Problem> {
    let data = &config.data;
    let authority = open_authority(data)?;
    let Opened {
        store,
        state,
        newest_at,
    } = Store::open(&folder::store(data))?;
    let clock = Arc::new(Clock::starting_at(newest_at.max(Kept::load(data).at)));
    let known = enrolment::user(&state, owner);
    let mut clerk = Clerk::new(state, store, Arc::clone(&clock));
    let id = OrgId::new(mint::uuid(clock.now()));
    do_one(
        &mut clerk,
        Body::CreateOrg {
            org: id,
            name: org.clone(),
            owner: known.unwrap_or_else(|| UserId::new(mint::uuid(clock.now()))),
            handle: owner.clone(),
        },
    )?;
    if known.is_some() {
        return Ok(AddOrgOutcome::KnownOwner);
    }
    // Stopped before this is done, `login-link` makes the link.
    let wish = owner_of(id);
    let link = link_for(&mut clerk, &clock, wish, &authority, config.address.clone())?;
    Ok(AddOrgOutcome::NewOwner { link })
}

/// Whom [`login_link`] signs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whom {
    /// Of this org; where there is no name, of the first that they are in.
    pub org: Option<Name>,
    /// A member of it; `None` is its owner.
    pub user: Option<Name>,
    /// Takes their password and two-factor away, which were lost.
    pub reset: bool,
}

/// Makes a sign-in link. The coordinator must not be running: its store is opened.
///
/// # Errors
/// The store is in use or cannot be used; there is no such org or member.
pub fn login_link(config: &Config, whom: &Whom) -> Result<JoinLink, Problem> {
    let data = &config.data;
    let authority = open_authority(data)?;
    let Opened {
        store,
        state,
        newest_at,
    } = Store::open(&folder::store(data))?;
    let orgs = enrolment::orgs(&state);
    let found = match (&whom.org, &whom.user) {
        (Some(wanted), _) => orgs.iter().find(|(_, name)| name == wanted),
        (None, Some(user)) => orgs
            .iter()
            .find(|(org, _)| enrolment::is_member(&state, *org, user))
            .or(orgs.first()),
        (None, None) => orgs.first(),
    };
    let Some((org, _)) = found.cloned() else {
        let names: Vec<&str> = orgs.iter().map(|(_, name)| name.as_str()).collect();
        let why = format!("the coordinator has: {}", names.join(", "));
        return Err(Problem::new(Code::NotFound, "There is no such org", why));
    };
    let clock = Arc::new(Clock::starting_at(newest_at.max(Kept::load(data).at)));
    let mut clerk = Clerk::new(state, store, Arc::clone(&clock));
    let wish = CreateLoginLink {
        org,
        user: whom.user.clone(),
        reset: whom.reset,
    };
    link_for(&mut clerk, &clock, wish, &authority, config.address.clone())
}

/// Opens the authority of a data folder.
pub(crate) fn open_authority(data: &Path) -> Result<Authority, Problem> {
    Authority::open(&folder::authority(data)).map_err(|error| authority_problem(&error))
}

/// Opens the sealing key of a data folder. One from before there were any gets its own.
pub(crate) fn open_sealing_key(data: &Path) -> Result<SealingKey, Problem> {
    let path = folder::sealing_key(data);
    let key = if path.exists() {
        SealingKey::open(&path)
    } else {
        SealingKey::create(&path)
    };
    key.map_err(|error| sealing_problem(&error))
}

/// Does the same for a book that may hold secrets: a new key, which would open none of them, is not made then.
pub(crate) fn open_sealing_key_of(data: &Path, state: &State) -> Result<SealingKey, Problem> {
    check_key_is_not_missed(data, state)?;
    open_sealing_key(data)
}

/// Checks that there is a key if there are secrets.
///
/// # Errors
/// It is gone.
pub(crate) fn check_key_is_not_missed(data: &Path, state: &State) -> Result<(), Problem> {
    let path = folder::sealing_key(data);
    if path.exists() || secret::every(state).next().is_none() {
        return Ok(());
    }
    let file = path.display();
    Err(secrets_problem(format!(
        "{file} is not there, and the book holds secrets that only it opens"
    )))
}

/// Checks that the key opens every secret of the book.
///
/// # Errors
/// The first that it does not open.
pub(crate) fn check_secrets(state: &State, key: &SealingKey) -> Result<(), Problem> {
    for secret in secret::every(state) {
        let opened = key.unseal(secret.context.as_bytes(), secret.sealed);
        opened.map_err(|error| {
            secrets_problem(format!("secret {} cannot be opened: {error}", secret.name))
        })?;
    }
    Ok(())
}

fn secrets_problem(why: String) -> Problem {
    Problem::new(Code::StoreDamaged, "The key and the secrets do not belong together", why).help(
        "Restore `sealing-key.pem` from the same backup as the data folder, or set the secret again.",
    )
}

fn link_for<B: Book>(
    clerk: &mut Clerk<B>,
    clock: &Clock,
    wish: CreateLoginLink,
    authority: &Authority,
    address: String,
) -> Result<JoinLink, Problem> {
    let (secret, body) = sign_in::link(clock.now(), wish, sign_in::SENT);
    do_one(clerk, body)?;
    Ok(JoinLink {
        address,
        purpose: LinkPurpose::Login,
        fingerprint: authority.fingerprint(),
        secret,
    })
}

fn owner_of(org: OrgId) -> CreateLoginLink {
    CreateLoginLink {
        org,
        user: None,
        reset: false,
    }
}

fn do_one<B: Book>(clerk: &mut Clerk<B>, body: Body) -> Result<(), Problem> {
    let done = clerk.process(vec![(Actor::System, body)])?;
    let refused = done.replies.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |rejection| Err(NotDone::Rejected(rejection).into()))
}

fn authority_problem(error: &certs::AuthorityError) -> Problem {
    let what = "The certificate authority cannot be used";
    Problem::new(Code::Io, what, chain(error))
        .help("Restore the `authority` folder of the data folder from its backup.")
}

fn sealing_problem(error: &certs::SealError) -> Problem {
    let what = "The key for sealed secrets cannot be used";
    Problem::new(Code::Io, what, chain(error)).help(
        "Restore `sealing-key.pem` of the data folder from its backup. Without it, remove the file: a new one is \
         made, and jobs that wait and bring a login to a registry have to be submitted again.",
    )
}
