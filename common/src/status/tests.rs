use super::*;

#[test]
fn words_are_the_same_in_text_and_json() {
    for reason in EndReason::ALL {
        assert_eq!(
            serde_json::to_string(reason).unwrap(),
            format!("\"{reason}\"")
        );
        assert_eq!(reason.as_str().parse::<EndReason>().unwrap(), *reason);
    }
    for status in MachineStatus::ALL {
        assert_eq!(
            serde_json::to_string(status).unwrap(),
            format!("\"{status}\"")
        );
    }
    assert_eq!(
        "gone".parse::<JobStatus>().unwrap_err().to_string(),
        "\"gone\" is not one of queued, running, succeeded, failed, cancelled, awaiting_approval"
    );
}
