//! The engine's generated configuration: one data directory, one loopback port, three users, small caches.
//!
//! Passwords are random for each start of the supervisor and reach the disk as SHA-256 only.

use sha2::{Digest, Sha256};
use std::{
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};
use uuid::Uuid;

/// The user of this program.
pub(super) const SERVICE_USER: &str = "tokentrail";
/// The user of dashboards.
pub(super) const READER_USER: &str = "tokentrail_reader";

/// What is decided at a start and stays over restarts of the child, so that clients recover by themselves.
pub(super) struct Plan {
    pub(super) dir: PathBuf,
    pub(super) port: u16,
    pub(super) service_password: String,
    pub(super) reader_password: String,
    pub(super) memory_bytes: u64,
}

/// 244 random bits.
pub(super) fn random_password() -> String {
    format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple())
}

impl Plan {
    pub(super) fn config_file(&self) -> PathBuf {
        self.dir.join("config.xml")
    }

    pub(super) fn output_file(&self) -> PathBuf {
        self.dir.join("engine.out")
    }

    /// Writes both files anew.
    pub(super) fn write(&self) -> std::io::Result<()> {
        for dir in [&self.dir, &self.dir.join("log")] {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        private_file(&self.dir.join("users.xml"), &self.users())?;
        private_file(&self.config_file(), &self.server())
    }

    fn server(&self) -> String {
        let dir = xml(&self.dir.display().to_string());
        let (port, memory) = (self.port, self.memory_bytes);
        format!(
            "<clickhouse>
  <logger><level>warning</level><console>0</console><size>10M</size><count>3</count>
    <log>{dir}/log/server.log</log><errorlog>{dir}/log/error.log</errorlog></logger>
  <path>{dir}/data/</path>
  <tmp_path>{dir}/data/tmp/</tmp_path>
  <user_files_path>{dir}/data/user_files/</user_files_path>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{port}</http_port>
  <user_directories><users_xml><path>{dir}/users.xml</path></users_xml></user_directories>
  <max_server_memory_usage>{memory}</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <index_mark_cache_size>16777216</index_mark_cache_size>
  <max_concurrent_queries>64</max_concurrent_queries>
  <merge_tree>
    <fsync_after_insert>1</fsync_after_insert>
    <fsync_part_directory>1</fsync_part_directory>
    <min_bytes_for_wide_part>67108864</min_bytes_for_wide_part>
  </merge_tree>
</clickhouse>
"
        )
    }

    /// The local session of the child itself is `default` without a password, and so is any loopback client: it may
    /// start the listener and make the temporary table of the waiting statement, and nothing else.
    fn users(&self) -> String {
        let mut reader = String::new();
        for view in crate::VIEWS {
            reader.push_str(&format!("        <query>GRANT SELECT ON {}.{view}</query>\n", crate::DEFAULT_DATABASE));
        }
        let database = crate::DEFAULT_DATABASE;
        let (service, dashboards) = (hash(&self.service_password), hash(&self.reader_password));
        format!(
            "<clickhouse>
  <profiles>
    <default/>
    <reader><readonly>2</readonly><max_execution_time>60</max_execution_time></reader>
  </profiles>
  <users>
    <default>
      <password></password><networks><ip>127.0.0.1</ip></networks><profile>default</profile>
      <grants>
        <query>GRANT SYSTEM LISTEN ON *.*</query>
        <query>GRANT CREATE TEMPORARY TABLE ON *.*</query>
      </grants>
    </default>
    <{SERVICE_USER}>
      <password_sha256_hex>{service}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>default</profile>
      <grants>
        <query>GRANT ALL ON {database}*.*</query>
        <query>GRANT SELECT ON system.*</query>
        <query>GRANT TABLE ENGINE ON *</query>
      </grants>
    </{SERVICE_USER}>
    <{READER_USER}>
      <password_sha256_hex>{dashboards}</password_sha256_hex><networks><ip>127.0.0.1</ip></networks><profile>reader</profile>
      <grants>
{reader}      </grants>
    </{READER_USER}>
  </users>
</clickhouse>
"
        )
    }
}

fn hash(password: &str) -> String {
    hex::encode(Sha256::digest(password.as_bytes()))
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Replaces the file in one step, so that a reader sees the old or the new one.
fn private_file(path: &Path, text: &str) -> std::io::Result<()> {
    let fresh = path.with_extension("xml.new");
    if let Err(error) = std::fs::remove_file(&fresh)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    std::fs::rename(&fresh, path)
}
