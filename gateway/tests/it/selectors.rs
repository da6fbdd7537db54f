//! Options of methods by selector: those of the contract and of the configuration never mix.

use serde_json::Value;

use crate::support::stranger::{PROTOS, Upstream};
use crate::support::{Gateway, eventually, layers};

const GREET: &str = "stranger.v1.StrangerService.Greet";

fn policy(selector: &str) -> String {
    format!("[[schema.policies]]\nselector = \"{selector}\"\naccess = {{ public = true }}\n")
}

/// Returns the reason and the text with which the API of the one upstream is refused.
async fn refusal(gateway: &Gateway) -> (String, String) {
    eventually("the api is refused", async || {
        let status = gateway.upstream_status(0).await;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let told = (text(&status["refused"]["reason"]), text(&status["problem"]));
        match told {
            (Some(reason), Some(problem)) => Ok((reason, problem)),
            _ => Err(status),
        }
    })
    .await
}

#[tokio::test]
async fn a_selector_that_names_no_method_refuses_the_api() {
    let upstream = Upstream::start().await;
    for selector in [
        "stranger.v1.StrangerService.Meet",
        "stranger.v2.StrangerService.*",
    ] {
        let file = policy(GREET) + &policy(selector);
        let gateway = Gateway::configured(layers(&[upstream.address], &[], &file)).await;
        let (reason, problem) = refusal(&gateway).await;
        assert_eq!(reason, "SELECTS_NOTHING");
        let expected = format!(
            "`schema.policies[1].selector`: no upstream serves a method that `{selector}` names"
        );
        assert_eq!(problem, expected);
        assert_eq!(gateway.get("/readyz").await.status, 503);
    }
}

#[tokio::test]
async fn a_method_with_the_option_in_both_places_refuses_the_api() {
    let upstream = Upstream::start().await;
    let path = "stranger/v1/stranger_service.proto";
    let text = std::fs::read_to_string(format!("{PROTOS}/{path}")).unwrap();
    let contract = tempfile::tempdir().unwrap();
    let file = contract.path().join(path);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let rpc = "rpc Greet(GreetRequest) returns (GreetResponse) {";
    let option = "option (mesh.v1.access) = {authenticated: true};";
    let import = "import \"google/protobuf/any.proto\";";
    let text = text.replacen(rpc, &format!("{rpc} {option}"), 1).replacen(
        import,
        &format!("{import} import \"mesh/v1/options.proto\";"),
        1,
    );
    std::fs::write(&file, text).unwrap();
    let keys = [("schema.descriptors", contract.path().to_str().unwrap())];
    for selector in [GREET, "stranger.v1.StrangerService.*"] {
        let configuration = layers(&[upstream.address], &keys, &policy(selector));
        let (reason, problem) = refusal(&Gateway::configured(configuration).await).await;
        assert_eq!(reason, "TWO_POLICIES");
        assert_eq!(
            problem,
            "`schema.policies[0].access`: the contract of `/stranger.v1.StrangerService/Greet` has \
             the option `access` too; remove it here or there"
        );
    }
}

#[tokio::test]
async fn a_condition_on_a_field_that_is_not_there_refuses_the_api() {
    let upstream = Upstream::start().await;
    let file = format!(
        "[[schema.policies]]\nselector = \"{GREET}\"\naccess = {{ public = true, condition = \"request.nam == 'a'\" }}\n"
    );
    let gateway = Gateway::configured(layers(&[upstream.address], &[], &file)).await;
    let (reason, problem) = refusal(&gateway).await;
    assert_eq!(reason, "INVALID_POLICY");
    let expected = "the option `access` of `/stranger.v1.StrangerService/Greet` has a `condition`";
    assert!(problem.contains(expected), "{problem}");
    assert!(problem.contains("nam"), "{problem}");
}

#[tokio::test]
async fn a_bad_item_is_refused_at_start_by_its_key() {
    let upstream = Upstream::start().await;
    let file = "[[schema.policies]]\nselector = \"a.B.C\"\naccess = { public = true, authenticated = true }\n";
    let layers = layers(&[upstream.address], &[], file);
    let process = chassis::Process::new("gateway", layers.settings().unwrap());
    let refused = gateway::start(process, layers.parse().unwrap()).await;
    let message = format!("{:#}", refused.err().unwrap());
    assert!(message.contains("`schema.policies[0].access`"), "{message}");
}
