//! Pins an image from a registry to what its tag means now, so that every try of every task runs the same, and
//! finds out whether the registry wants to know who asks.

use common::{
    code::Code,
    image::{Image, ImageRef},
    job::JobSpec,
    problem::Problem,
    seal::RegistryLogin,
};

use super::super::session::{Session, who_am_i};
use crate::images;

/// Pins the job's image, and returns the login that its registry has to be shown: none where it answers anybody,
/// so that nobody's password travels for a public image.
///
/// # Errors
/// The registry does not have the image, does not answer, or refuses.
pub(in super::super) async fn pin(spec: &mut JobSpec) -> Result<Option<RegistryLogin>, Problem> {
    let Image::Registry(reference) = &spec.image else {
        return Ok(None);
    };
    let (pinned, login) = pinned(reference).await?;
    spec.image = Image::Registry(pinned);
    Ok(login)
}

async fn pinned(reference: &ImageRef) -> Result<(ImageRef, Option<RegistryLogin>), Problem> {
    certs::install_crypto();
    if reference.digest.is_some() {
        // Nothing is asked, so it cannot be told whether the registry would answer anybody.
        return Ok((reference.clone(), stored_login(reference).await?));
    }
    let refused = match images::resolve(reference, None).await {
        Ok(pinned) => return Ok((pinned, None)),
        // Some say that an image is not there to whom may not see it.
        Err(problem) if wants_login(&problem) => problem,
        Err(problem) => return Err(problem),
    };
    match stored_login(reference).await? {
        None => Err(refused),
        Some(login) => {
            let pinned = images::resolve(reference, Some(&login)).await?;
            Ok((pinned, Some(login)))
        }
    }
}

const fn wants_login(problem: &Problem) -> bool {
    matches!(problem.code, Code::RegistryRefused | Code::ImageNotFound)
}

async fn stored_login(reference: &ImageRef) -> Result<Option<RegistryLogin>, Problem> {
    let registry = reference.registry.clone();
    let looking = tokio::task::spawn_blocking(move || images::stored_login(&registry));
    looking.await.unwrap_or_else(|error| {
        let what = "the registry's login cannot be read";
        Err(Problem::new(Code::Internal, what, error.to_string()))
    })
}

/// Puts the login into the job, for the coordinator's eyes alone.
///
/// # Errors
/// The coordinator does not say how, or the login is too long.
pub(in super::super) async fn seal(
    session: &Session,
    spec: &mut JobSpec,
    login: Option<RegistryLogin>,
) -> Result<(), Problem> {
    let Some(login) = login else {
        return Ok(());
    };
    let key = who_am_i(&session.client).await?.sealing_key;
    let sealed = certs::seal_login(&key, &login).map_err(|error| {
        let what = format!("the login of {} cannot be sent", login.registry);
        Problem::new(Code::Protocol, what, error.to_string())
    })?;
    spec.registry_login = Some(sealed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::super::job_file::Draft;
    use super::*;

    fn spec(image: &str) -> JobSpec {
        let draft = Draft {
            command: vec!["x".to_owned()],
            image: Some(image.parse().unwrap()),
            ..Draft::default()
        };
        draft.into_spec(None).unwrap()
    }

    #[tokio::test]
    async fn only_images_of_registries_are_asked_about() {
        for image in ["host", "imported:mine@2"] {
            let mut job = spec(image);
            assert_eq!(pin(&mut job).await.unwrap(), None);
            assert_eq!(job, spec(image));
        }
    }

    #[tokio::test]
    async fn a_registry_that_does_not_answer_is_named() {
        // Nobody listens on the discard port.
        let problem = pin(&mut spec("127.0.0.1:9/lab/train:v1"))
            .await
            .unwrap_err();
        assert_eq!(problem.code, Code::RegistryUnreachable, "{problem}");
        assert!(problem.to_string().contains("127.0.0.1:9"), "{problem}");
    }
}
