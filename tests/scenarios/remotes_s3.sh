# Results in a bucket of an S3-compatible server: moto, which checks signatures as Amazon does. $MOTO_PYTHON is an
# interpreter that has it.
. "$(dirname "$0")/common.sh"
. "$SOURCE_DIR/tests/scenarios/remotes_common.sh"
moto=${MOTO_PYTHON:-python3}
"$moto" -c 'import moto.server, boto3' 2> /dev/null || skip "moto[server] is not there for $moto (set MOTO_PYTHON)"
for name in $(env | grep -o '^AWS_[A-Z_]*'); do unset "$name"; done
export HOME=$here AWS_EC2_METADATA_DISABLED=true

# The first requests need no signature: they make the user whose keys are used from then on. The server chooses its port,
# so that nobody else can have taken it.
INITIAL_NO_AUTH_ACTION_COUNT=4 "$moto" -m moto.server -H 127.0.0.1 -p 0 > moto.log 2>&1 & moto_pid=$!
cleanups+=('kill $moto_pid 2>/dev/null' '[ $status = 0 ] || tail -n 20 "$here/moto.log" >&2')
wait_for 60 grep -q 'Running on http' moto.log
port=$(sed -n 's|.*Running on http://127.0.0.1:\([0-9]*\).*|\1|p' moto.log | head -n 1)
endpoint=http://127.0.0.1:$port
"$moto" - "$endpoint" > keys <<'PY' || fail "cannot set up moto: $(tail -n 3 moto.log)"
import json, sys, boto3
make = dict(endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="y")
boto3.client("s3", **make).create_bucket(Bucket="results")
iam = boto3.client("iam", **make)
iam.create_user(UserName="ml")
key = iam.create_access_key(UserName="ml")["AccessKey"]
iam.put_user_policy(UserName="ml", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}))
# Its own library has to get in with them before this program is judged.
boto3.client("s3", **dict(make, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])
             ).list_objects_v2(Bucket="results", Prefix="team/")
print(key["AccessKeyId"], key["SecretAccessKey"])
PY
read -r key secret < keys
login() { export AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=$secret; }
logout() { unset AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_PROFILE; }
# s3 PYTHON: with `c`, a client of the genuine library.
s3() { AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=$secret "$moto" -c "import boto3
c = boto3.client('s3', endpoint_url='$endpoint', region_name='us-east-1')
$1"; }

login
make_project
remote_core s3://results/team/churn --endpoint "$endpoint"
grep -q AWS_SECRET .mlops/config.yaml && fail "credentials are in the configuration"
grep -qF "$secret" .mlops/config.yaml && fail "the secret is in the configuration"
expect_equal "$(s3 'print(sum(k["Key"].startswith("team/churn/runs/") for k in c.list_objects_v2(Bucket="results")["Contents"]) > 0)')" True

# --- Credentials: from a profile; none; wrong ones, with the server's words
logout
mlops push; expect_exit 69; expect_err "no credentials for S3"; expect_err "$here/.aws/credentials"
mkdir "$here/.aws"
printf '[default]\naws_access_key_id = wrong\naws_secret_access_key = wrong\n[ml]\naws_access_key_id = %s\naws_secret_access_key = %s\n' \
    "$key" "$secret" > "$here/.aws/credentials"
AWS_PROFILE=ml mlops push; expect_ok
mlops push; expect_exit 69; expect_err "InvalidAccessKeyId"; expect_err "profile 'default'"
AWS_ACCESS_KEY_ID=$key AWS_SECRET_ACCESS_KEY=wrong mlops push; expect_exit 69; expect_err "SignatureDoesNotMatch"
expect_err "the environment"
login

# --- A bucket that is not there, a host that is not there
mlops remote add nobucket s3://nosuchbucket --endpoint "$endpoint"; mlops push --remote nobucket; expect_exit 69
expect_err "NoSuchBucket"; expect_err "make the bucket"
mlops remote add nohost s3://results --endpoint http://127.0.0.1:1; mlops push --remote nohost; expect_exit 69; expect_err "127.0.0.1:1"
mlops remote add noname s3://results --endpoint http://no.such.host.invalid; mlops push --remote noname; expect_exit 69; expect_err "resolve"

# --- An object larger than a part goes up in parts, and comes back
mkdir "$here/parts"; cd "$here/parts" || exit 1
mkdir .mlops; chmod 700 .mlops
printf 'name: parts\nsteps:\n  make: {run: "head -c 70000000 /dev/urandom > huge.bin", inputs: [parts.yaml], outputs: [huge.bin]}\n' > parts.yaml
mlops run parts.yaml -q; expect_ok
proxy "$port"
mlops remote add p s3://results/parts --endpoint "http://127.0.0.1:$proxy_port"
# It goes down after two parts or so; what was sent is not sent again.
weather total 40000000
mlops push --jobs 1; expect_exit 69; expect_err "repeat the command"
before=$(s3 'u = c.list_multipart_uploads(Bucket="results")["Uploads"][0]
print(len(c.list_parts(Bucket="results", Key=u["Key"], UploadId=u["UploadId"]).get("Parts", [])))')
[ "$before" -ge 1 ] || fail "no part was sent"
weather ok
requests=$(grep -c 'PUT /results/parts/objects.*partNumber' "$here/moto.log")
mlops push; expect_ok; expect_out "pushed 2 objects"
sent=$(($(grep -c 'PUT /results/parts/objects.*partNumber' "$here/moto.log") - requests))
expect_equal "$sent" $((5 - before))
expect_equal "$(s3 'print(len(c.list_multipart_uploads(Bucket="results").get("Uploads", [])))')" 0
mkdir "$here/back"; cd "$here/back" || exit 1
mlops remote add p s3://results/parts --endpoint "$endpoint"
mlops pull; expect_ok; cmp huge.bin "$here/parts/huge.bin" || fail "the bytes are others"

# --- A server that is busy for a while
mkdir "$here/busy"; cd "$here/busy" || exit 1
mlops remote add p s3://results/parts --endpoint "http://127.0.0.1:$proxy_port"
weather busy 3
mlops pull; expect_ok; cmp huge.bin "$here/parts/huge.bin" || fail "the bytes are others"
weather ok

# --- Wrong bytes in the bucket are refused
s3 'k = max(c.list_objects_v2(Bucket="results", Prefix="parts/objects/")["Contents"], key=lambda o: o["Size"])["Key"]
b = bytearray(c.get_object(Bucket="results", Key=k)["Body"].read()); b[12345] ^= 1
c.put_object(Bucket="results", Key=k, Body=bytes(b))'
mkdir "$here/wrong"; cd "$here/wrong" || exit 1
mlops remote add p s3://results/parts --endpoint "$endpoint"
mlops pull; expect_exit 74; expect_out "the bytes there are not those of its name"; expect_missing huge.bin
mlops store verify; expect_ok

# --- Damage here is noticed on the way
cd "$here/one" || exit 1
object=$(sha256sum < model.bin | cut -d' ' -f1); file=.mlops/store/objects/${object:0:2}/${object:2}
chmod u+w "$file"; printf X | dd of="$file" bs=1 seek=5 conv=notrunc 2> /dev/null
mlops remote add fresh s3://results/fresh --endpoint "$endpoint"
mlops push --remote fresh; expect_exit 74; expect_out "damaged here"

# --- More than a page of objects
cd "$here" && mkdir pages && cd pages || exit 1
mkdir .mlops; chmod 700 .mlops
s3 'for i in range(1100): c.put_object(Bucket="results", Key="pages/objects/%02x/%062x" % (i % 256, i), Body=b"x")'
cp "$here/p.yaml" . && mlops run p.yaml -q
mlops remote add pages s3://results/pages --endpoint "$endpoint"
mlops push; expect_ok
mlops push --check --json; expect_ok; expect_equal "$(json 'j["objects"]')" 0
