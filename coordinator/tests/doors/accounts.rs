//! Accounts and devices over live connections.

use std::time::Duration;

use certs::PrivateKey;
use common::{
    api::{
        Answer, Request,
        account::{AccountAnswer, AccountRequest, CreateLoginLink, DeviceView},
    },
    code::Code,
    join_link::LinkPurpose,
};

use crate::lab::{Lab, Signed, ask, name};

/// How long a connection may outlive its device.
const AT_ONCE: Duration = Duration::from_secs(1);

/// Signs the same user in on one more computer.
async fn second_device(lab: &Lab, connection: &quinn::Connection, who: &Signed) -> Signed {
    let answer = ask(
        connection,
        Request::CreateLoginLink(CreateLoginLink {
            org: who.org,
            user: None,
            reset: false,
        }),
    )
    .await;
    let Ok(Answer::LoginSecret { secret }) = answer else {
        panic!("{answer:?}");
    };
    let key = PrivateKey::generate().unwrap();
    let signed = lab.enrol(&secret, LinkPurpose::Login, None, &key).await;
    signed.unwrap()
}

async fn devices(connection: &quinn::Connection) -> Vec<DeviceView> {
    let request = AccountRequest::ListDevices { of: None };
    match ask(connection, Request::Account(request)).await {
        Ok(Answer::Account(AccountAnswer::Devices(devices))) => devices,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_revoked_device_loses_its_open_connections_within_a_second_and_no_other_does() {
    let lab = Lab::start().await;
    let alice = lab.owner().await;
    let first = lab.connect(&alice).await;
    let tablet = second_device(&lab, &first, &alice).await;
    let second = lab.connect(&tablet).await;
    let third = lab.connect(&tablet).await;

    let listed = devices(&second).await;
    let shown: Vec<(&str, bool)> = listed
        .iter()
        .map(|device| (device.name.as_str(), device.current))
        .collect();
    assert_eq!(shown, [("laptop-2", true), ("laptop", false)]);

    let revoke = AccountRequest::RevokeDevice {
        of: None,
        device: Some(name("laptop-2")),
    };
    let done = ask(&first, Request::Account(revoke)).await;
    assert_eq!(done, Ok(Answer::Done));
    for connection in [&second, &third] {
        let closed = tokio::time::timeout(AT_ONCE, connection.closed()).await;
        let problem = link::close_problem(&closed.unwrap());
        assert_eq!(problem.code, Code::CertificateRevoked);
    }
    assert_eq!(lab.refusal(&tablet).await.code, Code::CertificateRevoked);
    assert_eq!(devices(&first).await.len(), 1);

    // A restart forgets none of it.
    let lab = lab.restart().await;
    assert_eq!(lab.refusal(&tablet).await.code, Code::CertificateRevoked);
    let first = lab.connect(&alice).await;
    assert_eq!(devices(&first).await.len(), 1);

    // Signing out is revoking the device that asks: the answer is the end of the connection.
    let logout = AccountRequest::RevokeDevice {
        of: None,
        device: None,
    };
    let _cut = ask(&first, Request::Account(logout)).await;
    let closed = tokio::time::timeout(AT_ONCE, first.closed()).await;
    let problem = link::close_problem(&closed.unwrap());
    assert_eq!(problem.code, Code::CertificateRevoked);
    lab.running.stop().await;
}
