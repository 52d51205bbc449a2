# Results on a host reached by ssh: a real sshd with a key that is thrown away.
. "$(dirname "$0")/common.sh"
. "$SOURCE_DIR/tests/scenarios/remotes_common.sh"
sshd=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v sshd) || skip "there is no sshd (package openssh-server)"
command -v ssh > /dev/null || skip "there is no ssh (package openssh-client)"

mkdir ssh; chmod 700 ssh
ssh-keygen -q -t ed25519 -N '' -f ssh/host && ssh-keygen -q -t ed25519 -N '' -f ssh/key && ssh-keygen -q -t ed25519 -N '' -f ssh/other
cp ssh/key.pub ssh/authorized
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
port=$(free_port)
start_sshd() {
    "$sshd" -D -e -f /dev/null -p "$port" -h "$here/ssh/host" -o ListenAddress=127.0.0.1 -o StrictModes=no -o UsePAM=no \
        -o PidFile=none -o AuthorizedKeysFile="$here/ssh/authorized" -o "Subsystem=sftp internal-sftp" \
        -o PermitRootLogin=prohibit-password -o PasswordAuthentication=no -o KbdInteractiveAuthentication=no \
        > ssh/log 2>&1 &
    sshd_pid=$!
    wait_for 10 bash -c "exec 3<> /dev/tcp/127.0.0.1/$port"
}
stop_sshd() { kill "$sshd_pid" 2> /dev/null; wait "$sshd_pid" 2> /dev/null; }
start_sshd
cleanups+=('stop_sshd')

# config NAME KEY KNOWN_HOSTS: how ssh is to log in.
config() {
    printf 'Host *\n  IdentityFile %s\n  IdentitiesOnly yes\n  IdentityAgent none\n  UserKnownHostsFile %s\n  GlobalKnownHostsFile none\n  StrictHostKeyChecking yes\n' \
        "$here/ssh/$2" "$here/ssh/$3" > "$here/ssh/$1"
}
proxy "$port"
for p in "$port" "$proxy_port"; do echo "[127.0.0.1]:$p $(cut -d' ' -f1,2 ssh/host.pub)"; done > ssh/known
: > ssh/nobody
config config key known; config stranger other known; config unknown key nobody
export MLOPS_SSH="ssh -F $here/ssh/config"
user=$(id -un)

cd "$here" || exit 1
make_project
remote_core "ssh://$user@127.0.0.1:$port$here/remote"
[ "$(find "$here/remote/tmp" -type f | wc -l)" = 0 ] || fail "temporary files are left"

# The bytes lie as on a directory: one kind of remote can be read as the other.
mkdir "$here/asdir"; cd "$here/asdir" || exit 1
mlops remote add d "$here/remote"; mlops pull; expect_ok; expect_exists model.bin

# --- Logging in fails: in words, at once, without a question
cd "$here/one" || exit 1
MLOPS_SSH="ssh -F $here/ssh/stranger" mlops push; expect_exit 69; expect_err "Permission denied"; expect_err "try \`ssh -p $port"
MLOPS_SSH="ssh -F $here/ssh/unknown" mlops push; expect_exit 69; expect_err "Host key verification failed"
MLOPS_SSH="nosuchssh" mlops push; expect_exit 69; expect_err "no program 'nosuchssh'"
mlops remote add host ssh://no.such.host.invalid/x; mlops push --remote host; expect_exit 69; expect_err "resolve"
mlops remote add closed "ssh://127.0.0.1:1/x"; mlops push --remote closed; expect_exit 69; expect_err "refused"

# --- A directory that may not be written to, and one whose parent is not there
mlops remote add nowhere "ssh://$user@127.0.0.1:$port$here/no/such"; mlops push --remote nowhere; expect_exit 69; expect_err "make the directory"
mkdir "$here/sub"; touch "$here/sub/file"
mlops remote add file "ssh://$user@127.0.0.1:$port$here/sub/file"; mlops push --remote file; expect_exit 69

# --- Connections that break now and then are made anew, and nothing is sent twice
mkdir "$here/many"; cd "$here/many" || exit 1
many_large 8
mlops remote add flaky "ssh://$user@127.0.0.1:$proxy_port$here/flaky"
weather cut 5000000
mlops push; expect_ok; expect_out "pushed 10 objects"
weather ok
mlops push --check; expect_ok; expect_out "pushed 0 objects"

# --- It goes down half-way: exit 69, and the next push goes on
mlops remote add down "ssh://$user@127.0.0.1:$proxy_port$here/down"
weather total 12000000
mlops push --remote down; expect_exit 69; expect_err "repeat the command"
there=$(find "$here/down/objects" -type f | wc -l)
[ "$there" -ge 1 ] && [ "$there" -lt 8 ] || fail "$there of 8 were there when it went down"
weather ok
mlops push --remote down --json; expect_ok
[ "$(json 'j["objects"]')" -le $((10 - there)) ] || fail "finished objects were sent again"
mkdir "$here/fetched"; cd "$here/fetched" || exit 1
mlops remote add down "ssh://$user@127.0.0.1:$port$here/down"
mlops pull; expect_ok; diff -r big "$here/many/big" || fail "the bytes are others"
