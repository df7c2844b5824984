//! A short working day in Backstage, with a ledger of who was allowed what.
//!
//! The ledger is the truth that tests compare against: it is written from what was done and answered, never from what
//! Backstage or Keycloak recorded. The day can be played once per start.

use super::{Answer, Backstage, Decision, Permission, Refresh, Session, SignIn};
use anyhow::{Context, Result, ensure};
use reqwest::StatusCode;
use std::time::{Duration, Instant, SystemTime};

/// Patience with the scaffolder's task, which takes some six seconds.
const TASK: Duration = Duration::from_secs(300);

/// How often the task's state is asked for. Each question leaves lines on standard output.
const POLL: Duration = Duration::from_millis(500);

/// The role that exists during the day only.
const ROLE: &str = "role:default/registrars";

/// How an act ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Allowed, or a sign-in or refresh that gave tokens.
    Allowed,
    /// Denied by a permission.
    Denied,
    /// A sign-in or refresh that gave nothing.
    Refused,
    /// No valid token: Backstage did not get as far as a decision.
    Unauthenticated,
}

/// One thing that was done.
#[derive(Clone, Debug)]
pub struct Act {
    /// What: `sign-in`, `refresh`, `sign-out`, `authorize`, or the name of a call.
    pub op: &'static str,
    /// Who did it: `user:default/<name>`, the subject of a static token, or empty for a wrong token.
    pub who: String,
    /// Permission that decides, if one does.
    pub permission: Option<&'static str>,
    /// Entity, location, role or task that it was about, if any.
    pub resource: Option<String>,
    /// Keycloak's session, for a person. Backstage itself says it at sign-in only.
    pub session: Option<String>,
    /// How it ended: as expected, or the story would have failed.
    pub outcome: Outcome,
    /// Before the request.
    pub from: SystemTime,
    /// After the answer.
    pub to: SystemTime,
}

/// Who acts.
#[derive(Clone, Copy)]
enum Actor<'a> {
    Person(&'a Session),
    Service(&'static str),
    Nobody,
}

/// What is to be noted about an act, and how it must end.
struct Expected<'a> {
    op: &'static str,
    actor: Actor<'a>,
    permission: Option<&'static str>,
    resource: Option<&'a str>,
    outcome: Outcome,
}

struct Story<'a> {
    backstage: &'a Backstage,
    acts: Vec<Act>,
}

/// Plays the day. An error if anything ends otherwise than it must.
pub async fn backstage_story(backstage: &Backstage) -> Result<Vec<Act>> {
    let mut story = Story { backstage, acts: Vec::new() };
    story.refused_sign_in().await?;
    let mut nora = story.sign_in("nora").await?;
    let mut omar = story.sign_in("omar").await?;
    let pia = story.sign_in("pia").await?;
    let rosa = story.sign_in("rosa").await?;
    let sven = story.sign_in("sven").await?;
    story.catalog(&nora, &pia).await?;
    story.owners(&omar).await?;
    story.services(&nora).await?;
    story.roles(&rosa, &pia).await?;
    story.tasks(&sven, &omar).await?;
    story.refresh(&mut nora, Outcome::Allowed).await?;
    story.sign_out(&mut omar).await?;
    story.refresh(&mut omar, Outcome::Refused).await?;
    // The Backstage token outlives the Keycloak session.
    story.authorize(&omar, Permission::DeleteEntity("component:default/billing-api"), Outcome::Allowed).await?;
    Ok(story.acts)
}

impl Story<'_> {
    /// Operators of group sre may refresh and register, partners may only read; nobody may delete a location.
    async fn catalog(&mut self, nora: &Session, pia: &Session) -> Result<()> {
        let website = "component:default/website";
        self.authorize(nora, Permission::CreateLocation, Outcome::Allowed).await?;
        self.authorize(pia, Permission::CreateLocation, Outcome::Denied).await?;
        for (person, outcome) in [(nora, Outcome::Allowed), (pia, Outcome::Denied)] {
            let from = SystemTime::now();
            let answer = self.backstage.calls(&person.token).refresh_entity(website).await?;
            let permission = Some("catalog.entity.refresh");
            let actor = Actor::Person(person);
            let expected = Expected { op: "refresh-entity", actor, permission, resource: Some(website), outcome };
            self.answered(from, expected, &answer)?;
        }
        Ok(())
    }

    /// Billing may delete what it owns: a conditional decision.
    async fn owners(&mut self, omar: &Session) -> Result<()> {
        self.authorize(omar, Permission::DeleteEntity("component:default/billing-api"), Outcome::Allowed).await?;
        self.authorize(omar, Permission::DeleteEntity("component:default/website"), Outcome::Denied).await
    }

    /// Nora registers a location, which only the static token may delete. A wrong token gets nowhere.
    async fn services(&mut self, nora: &Session) -> Result<()> {
        let (op, permission) = ("create-location", Some("catalog.location.create"));
        let from = SystemTime::now();
        let created = self.backstage.calls(&nora.token).create_location("orders").await?;
        let actor = Actor::Person(nora);
        self.answered(from, Expected { op, actor, permission, resource: None, outcome: Outcome::Allowed }, &created)?;
        let id = created.body["location"]["id"].as_str().context("a location without an id")?;

        let (op, permission) = ("delete-location", Some("catalog.location.delete"));
        let wrong = "not-a-token".to_owned();
        let tries = [
            (Actor::Person(nora), &nora.token, Outcome::Denied),
            (Actor::Nobody, &wrong, Outcome::Unauthenticated),
            (Actor::Service("ci-deployer"), &self.backstage.secrets().deployer, Outcome::Allowed),
        ];
        for (actor, token, outcome) in tries {
            let from = SystemTime::now();
            let answer = self.backstage.calls(token).delete_location(id).await?;
            self.answered(from, Expected { op, actor, permission, resource: Some(id), outcome }, &answer)?;
        }
        Ok(())
    }

    /// Rosa, who administers RBAC, gives pia a right in Backstage itself and takes it away again.
    async fn roles(&mut self, rosa: &Session, pia: &Session) -> Result<()> {
        let outcome = Outcome::Allowed;
        let actor = Actor::Person(rosa);
        let rbac = self.backstage.calls(&rosa.token);
        let resource = Some(ROLE);
        let from = SystemTime::now();
        let answer = rbac.create_role(ROLE, &[pia.entity_ref.as_str()]).await?;
        let permission = Some("policy.entity.create");
        self.answered(from, Expected { op: "create-role", actor, permission, resource, outcome }, &answer)?;
        let from = SystemTime::now();
        let answer = rbac.create_policies(ROLE, &[("catalog.location.create", "create")]).await?;
        self.answered(from, Expected { op: "create-policies", actor, permission, resource, outcome }, &answer)?;
        self.authorize(pia, Permission::CreateLocation, Outcome::Allowed).await?;
        let from = SystemTime::now();
        let answer = rbac.delete_role(ROLE).await?;
        let permission = Some("policy.entity.delete");
        self.answered(from, Expected { op: "delete-role", actor, permission, resource, outcome }, &answer)?;
        self.authorize(pia, Permission::CreateLocation, Outcome::Denied).await
    }

    /// Only release may start tasks. The task of sven runs to its end.
    async fn tasks(&mut self, sven: &Session, omar: &Session) -> Result<()> {
        let (op, permission, resource) =
            ("start-task", Some("scaffolder.task.create"), Some("template:default/release"));
        let from = SystemTime::now();
        let answer = self.backstage.calls(&omar.token).start_task("1.0").await?;
        let actor = Actor::Person(omar);
        self.answered(from, Expected { op, actor, permission, resource, outcome: Outcome::Denied }, &answer)?;
        let from = SystemTime::now();
        let calls = self.backstage.calls(&sven.token);
        let answer = calls.start_task("1.0").await?;
        let actor = Actor::Person(sven);
        self.answered(from, Expected { op, actor, permission, resource, outcome: Outcome::Allowed }, &answer)?;
        let id = answer.body["id"].as_str().context("a task without an id")?;
        let end = Instant::now() + TASK;
        loop {
            let status = calls.task(id).await?.body["status"].take();
            match status.as_str() {
                Some("completed") => return Ok(()),
                Some("open" | "processing") => {}
                other => anyhow::bail!("the task's state is {other:?}"),
            }
            ensure!(Instant::now() < end, "the task did not end in {TASK:?}");
            tokio::time::sleep(POLL).await;
        }
    }

    async fn refused_sign_in(&mut self) -> Result<()> {
        let from = SystemTime::now();
        let refused = self.backstage.sign_in("pia", "wrong").await?;
        ensure!(matches!(refused, SignIn::RefusedByKeycloak), "a wrong password was accepted");
        let outcome = Outcome::Refused;
        let who = "user:default/pia".to_owned();
        let to = SystemTime::now();
        self.acts.push(Act { op: "sign-in", who, permission: None, resource: None, session: None, outcome, from, to });
        Ok(())
    }

    async fn sign_in(&mut self, name: &str) -> Result<Session> {
        let from = SystemTime::now();
        let session = self.backstage.sign_in(name, &format!("{name}-pw")).await?.done()?;
        ensure!(session.entity_ref == format!("user:default/{name}"), "{name} became {}", session.entity_ref);
        self.note(from, Expected::of("sign-in", &session, Outcome::Allowed));
        Ok(session)
    }

    async fn refresh(&mut self, session: &mut Session, outcome: Outcome) -> Result<()> {
        let from = SystemTime::now();
        let seen = match session.refresh().await? {
            Refresh::Done => Outcome::Allowed,
            Refresh::Refused => Outcome::Refused,
        };
        ensure!(seen == outcome, "refresh of {} ended {seen:?}, not {outcome:?}", session.entity_ref);
        self.note(from, Expected::of("refresh", session, outcome));
        Ok(())
    }

    async fn sign_out(&mut self, session: &mut Session) -> Result<()> {
        let from = SystemTime::now();
        session.logout().await?;
        self.note(from, Expected::of("sign-out", session, Outcome::Allowed));
        Ok(())
    }

    async fn authorize(&mut self, person: &Session, asked: Permission<'_>, outcome: Outcome) -> Result<()> {
        let from = SystemTime::now();
        let seen = match self.backstage.calls(&person.token).authorize(asked).await? {
            Decision::Allow => Outcome::Allowed,
            Decision::Deny => Outcome::Denied,
        };
        ensure!(seen == outcome, "{} of {} ended {seen:?}, not {outcome:?}", asked.name(), person.entity_ref);
        let expected = Expected {
            permission: Some(asked.name()),
            resource: asked.resource(),
            ..Expected::of("authorize", person, outcome)
        };
        self.note(from, expected);
        Ok(())
    }

    /// Notes a call that must have ended as expected.
    fn answered(&mut self, from: SystemTime, expected: Expected<'_>, answer: &Answer) -> Result<()> {
        let fits = match expected.outcome {
            Outcome::Allowed => answer.status.is_success(),
            Outcome::Denied => answer.status == StatusCode::FORBIDDEN,
            Outcome::Unauthenticated | Outcome::Refused => answer.status == StatusCode::UNAUTHORIZED,
        };
        ensure!(fits, "{} was answered {}, which is not {:?}", expected.op, answer.status, expected.outcome);
        self.note(from, expected);
        Ok(())
    }

    fn note(&mut self, from: SystemTime, expected: Expected<'_>) {
        let (who, session) = match expected.actor {
            Actor::Person(person) => (person.entity_ref.clone(), Some(person.keycloak_session.clone())),
            Actor::Service(subject) => (subject.to_owned(), None),
            Actor::Nobody => (String::new(), None),
        };
        let Expected { op, permission, outcome, .. } = expected;
        let resource = expected.resource.map(str::to_owned);
        self.acts.push(Act { op, who, permission, resource, session, outcome, from, to: SystemTime::now() });
    }
}

impl<'a> Expected<'a> {
    fn of(op: &'static str, person: &'a Session, outcome: Outcome) -> Self {
        Self { op, actor: Actor::Person(person), permission: None, resource: None, outcome }
    }
}
