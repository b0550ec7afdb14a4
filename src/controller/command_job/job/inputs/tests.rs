use super::*;

fn job(spec: serde_json::Value) -> CommandJob {
    serde_json::from_value(serde_json::json!({
        "apiVersion": "lifeguard.dev/v1alpha1", "kind": "CommandJob", "metadata": {"name": "j"}, "spec": spec,
    }))
    .expect("a valid job")
}

fn secret(value: impl Into<Bytes>) -> (Bytes, ValueOrigin) {
    (value.into(), ValueOrigin::Secret)
}

#[test]
fn a_value_may_refer_to_variables_before_it_and_to_no_other() {
    let job = job(serde_json::json!({
        "target": {"sessionPoolRef": {"name": "p"}}, "command": ["run", "$(B)", "$$(B)"], "args": ["$(TOKEN)$(X)"],
        "env": [
            {"name": "A", "value": "$(B)"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "B", "value": "b$(A)$(TOKEN)"},
            {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "none", "optional": true}}},
        ],
    }));
    let inputs = compose(&job, &Values::from([("TOKEN".into(), secret("hush"))]), 10).unwrap();
    let env: Vec<_> = inputs
        .work
        .env
        .iter()
        .flatten()
        .map(|it| (it.name.as_str(), &*it.value))
        .collect();
    assert_eq!(
        env,
        [("A", b"$(B)".as_slice()), ("TOKEN", b"hush"), ("B", b"b$(B)hush")]
    );
    let words = ["run", "b$(B)hush", "$(B)", "hush$(X)"].map(String::from).to_vec();
    assert_eq!(inputs.work.program, Program::Command(words));
    assert_eq!(inputs.secrets, [b"hush".as_slice()]);
    assert!(!format!("{inputs:?}").contains("hush"));
}

#[test]
fn a_script_is_not_expanded() {
    let job = job(serde_json::json!({
        "target": {"sessionPoolRef": {"name": "p"}}, "script": "echo $(A)", "env": [{"name": "A", "value": "1"}],
        "stdin": "in",
    }));
    let inputs = compose(&job, &Values::new(), 10).unwrap();
    assert_eq!(inputs.work.program, Program::Shell("echo $(A)".into()));
    assert_eq!(inputs.work.stdin.as_deref(), Some(b"in".as_slice()));
    assert_eq!(inputs.work.timeout_seconds, Some(600));
}
fn over(spec: serde_json::Value, values: &Values) -> OverBudget {
    match compose(&job(spec), values, 10) {
        Err(NotRunnable::OverBudget(over)) => over,
        other => panic!("{other:?}"),
    }
}

fn variables(value: &str, numbers: std::ops::Range<usize>) -> Vec<serde_json::Value> {
    numbers
        .map(|n| serde_json::json!({"name": format!("V{n}"), "value": value}))
        .collect()
}

#[test]
fn a_small_job_that_stands_for_much_is_refused_where_it_goes_over_its_budget() {
    let target = serde_json::json!({"sessionPoolRef": {"name": "p"}});
    let base = |more: serde_json::Value| {
        let mut spec = serde_json::json!({"target": target});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let large = serde_json::json!({"name": "A", "value": "x".repeat(100_000)});
    let from_secret = |n: usize| serde_json::json!({"name": format!("V{n}"), "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}});
    let shared = Bytes::from(vec![b'x'; 100_000]);
    let values: Values = (0..200).map(|n| (format!("V{n}"), secret(shared.clone()))).collect();
    let mut many = variables("$(A)", 0..200);
    many.insert(0, large.clone());
    for (spec, values, expected) in [
        (
            base(serde_json::json!({"script": "true", "env": [large, {"name": "B", "value": "$(A)".repeat(4000)}]})),
            Values::new(),
            OverBudget::Variable("B".into()),
        ),
        (
            base(serde_json::json!({"command": ["run", "$(A)$(A)"], "env": [large]})),
            Values::new(),
            OverBudget::Argument(1),
        ),
        (
            base(serde_json::json!({"command": ["run"], "args": vec!["$(A)"; 200], "env": [large]})),
            Values::new(),
            OverBudget::Arguments(20),
        ),
        (
            base(serde_json::json!({"script": "true", "env": many})),
            Values::new(),
            OverBudget::Environment("V19".into()),
        ),
        (
            base(serde_json::json!({"script": "true", "env": (0..200).map(from_secret).collect::<Vec<_>>()})),
            values,
            OverBudget::Environment("V20".into()),
        ),
        (
            base(serde_json::json!({"script": "true", "env": variables(&"'".repeat(120_000), 0..16)})),
            Values::new(),
            OverBudget::Uploads,
        ),
    ] {
        assert_eq!(over(spec, &values), expected);
    }
}

#[test]
fn the_longest_value_that_linux_takes_is_taken_and_shared() {
    let env: Vec<_> = (0..15)
        .map(|n| serde_json::json!({"name": format!("V{n}"), "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}))
        .collect();
    let job = job(serde_json::json!({
        "target": {"sessionPoolRef": {"name": "p"}}, "script": "true", "env": env,
    }));
    let longest = Bytes::from(vec![b'x'; 131_071 - "V14=".len()]);
    let values: Values = (0..15).map(|n| (format!("V{n}"), secret(longest.clone()))).collect();
    let inputs = compose(&job, &values, 10).unwrap();
    for variable in inputs.work.env.iter().flatten() {
        assert_eq!(variable.value.as_ptr(), longest.as_ptr(), "{}", variable.name);
    }
    assert_eq!(inputs.to_mask.bytes(), longest.len(), "the same value is masked once");
}

#[test]
fn more_than_can_be_masked_is_refused() {
    let env: Vec<_> = (0..10)
        .map(|n| serde_json::json!({"name": format!("V{n}"), "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}))
        .collect();
    let spec = serde_json::json!({"target": {"sessionPoolRef": {"name": "p"}}, "script": "true", "env": env});
    let value = |n: usize| format!("{n}\n{}", "a \"line\" of 20 bytes\n".repeat(6000));
    let values: Values = (0..10).map(|n| (format!("V{n}"), secret(value(n)))).collect();
    assert_eq!(over(spec, &values), OverBudget::Masked);
}

#[test]
fn once_it_is_prepared_only_what_is_masked_is_kept_of_it() {
    let job = job(serde_json::json!({
        "target": {"sessionPoolRef": {"name": "p"}}, "script": "#!/bin/sh -e\necho", "stdin": "in",
        "env": [{"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
    }));
    let inputs = compose(&job, &Values::from([("TOKEN".into(), secret("hush"))]), 10).unwrap();
    let prepared = inputs.prepared();
    assert_eq!(prepared.secrets, inputs.secrets);
    assert_eq!(prepared.work, shape(&job, 10).work);
    assert_eq!(prepared.work.upload_bytes(), "#!/bin/sh -e".len());
    assert!(prepared.work.env.is_some() && prepared.work.stdin.is_some());
}

fn of_script(bytes: usize, secret_bytes: usize) -> Inputs {
    let job = job(serde_json::json!({
        "target": {"sessionPoolRef": {"name": "p"}}, "script": "x".repeat(bytes),
        "env": (0..15).map(|n| serde_json::json!({"name": format!("V{n}"), "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}})).collect::<Vec<_>>(),
    }));
    let value = |n: usize| secret(format!("{n}{}", "z".repeat(secret_bytes / 15)));
    let values: Values = (0..15).map(|n| (format!("V{n}"), value(n))).collect();
    compose(&job, &values, 10).unwrap()
}

#[test]
fn inputs_are_kept_while_their_namespace_has_room_and_those_that_were_started_whatever_there_is() {
    let memory = InputMemory::default();
    let keep = |inputs: Inputs, namespace: &str| inputs.keep(&memory, namespace, None);
    let large = || of_script(2_000_000, 1_500_000);
    let kept: Vec<_> = std::iter::from_fn(|| keep(large(), "a").ok()).take(20).collect();
    assert!((1..8).contains(&kept.len()), "{}", kept.len());
    assert!(matches!(keep(large(), "a"), Err(NoRoom::ForUpload(_))));
    assert!(keep(of_script(1000, 0), "a").is_ok(), "what is small needs no room");
    assert!(keep(large(), "b").is_ok());
    assert!(large().of_running(&memory, "a").room.secrets.is_some());
    drop(kept);

    // What was uploaded makes room for another upload, and the values are kept for as long as the command runs.
    let prepared: Vec<_> = std::iter::from_fn(|| Some(keep(large(), "a").ok()?.prepared()))
        .take(20)
        .collect();
    assert!((2..8).contains(&prepared.len()), "{}", prepared.len());
    assert!(matches!(keep(large(), "a"), Err(NoRoom::ForSecrets(_))));
    assert!(keep(of_script(2_000_000, 0), "a").is_ok());
    drop(prepared);
    assert!(keep(large(), "a").is_ok());
    assert!(large().prepared().without_secrets().to_mask.is_empty());
}
