package matrix

import (
	"reflect"
	"strings"
	"testing"

	"github.com/twicebuild/twice/matrix/platform"
)

const imageHead = `project = "hello"
[[binary]]
package = "./cmd/a"
[matrix]
os = ["linux", "darwin"]
arch = ["amd64", "arm64"]
amd64 = ["v1", "v3"]
`

func mustImages(t testing.TB, text string) []ImagePlan {
	t.Helper()
	f := mustParse(t, text)
	v := SampleVars("hello")
	builds, err := f.Builds(platform.KnownPorts, v)
	if err != nil {
		t.Fatal(err)
	}
	plans, err := f.Images(builds, v)
	if err != nil {
		t.Fatal(err)
	}
	return plans
}

func TestImageDefaults(t *testing.T) {
	got := mustImages(t, imageHead+"[[image]]\nrepository = \"registry.example.com/acme/tool\"\n")
	want := []ImagePlan{{
		Key: "image[0]", Repository: "registry.example.com/acme/tool", Tags: []string{"1.2.3"}, Base: "scratch",
		Entrypoint: []string{"/usr/local/bin/a"}, UID: 65532, GID: 65532, Certificates: true, Tmp: true,
		Labels: map[string]string{}, Annotations: map[string]string{},
		Binaries: []ImageBinary{{"a", "/usr/local/bin/a"}},
		Platforms: []ImagePlatform{
			{platform.Platform{OS: "linux", Arch: "amd64"}, Target{"linux", "amd64", ""}},
			{platform.Platform{OS: "linux", Arch: "amd64", Variant: "v3"}, Target{"linux", "amd64", "v3"}},
			{platform.Platform{OS: "linux", Arch: "arm64", Variant: "v8"}, Target{"linux", "arm64", ""}},
		},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestImageExpanded(t *testing.T) {
	got := mustImages(t, strings.Replace(imageHead, "[matrix]", "[[binary]]\npackage = \"./cmd/b\"\ntargets = [\"linux/amd64\"]\n[matrix]\n", 1)+`
[[image]]
repository = "localhost:5000/x"
tags = ["v{{.Version}}", "{{.ShortCommit}}"]
binaries = ["b", "a"]
platforms = ["linux/amd64/v3", "linux/*64/v1"]
base = "registry.example.com/b:1@sha256:`+strings.Repeat("ab", 32)+`"
dir = "/opt/bin"
cmd = ["x", ""]
user = "7:8"
env = { B = "{{.Tag}}", A = "" }
workdir = "/"
ports = ["53/udp", "8080"]
labels = { k = "{{.Project}}" }
annotations = { "org.opencontainers.image.title" = "T" }
source = "https://git.example.com/x"
licenses = "MIT OR (Apache-2.0 AND BSD-3-Clause)"
timezones = true
[[image.file]]
source = "a/b"
path = "/etc/c"
mode = "755"
[[image]]
repository = "localhost:5000/x"
tags = ["other"]
binaries = ["a"]
`)
	want := ImagePlan{
		Key: "image[0]", Repository: "localhost:5000/x", Tags: []string{"v1.2.3", "0123456789ab"},
		Base:       "registry.example.com/b:1@sha256:" + strings.Repeat("ab", 32),
		Entrypoint: []string{"/opt/bin/b"}, Cmd: []string{"x", ""}, UID: 7, GID: 8, Env: []string{"A=", "B=v1.2.3"}, Workdir: "/",
		Ports: []string{"53/udp", "8080/tcp"}, Labels: map[string]string{"k": "hello"},
		Annotations: map[string]string{"org.opencontainers.image.title": "T"},
		Source:      "https://git.example.com/x", Licenses: "MIT OR (Apache-2.0 AND BSD-3-Clause)", Timezones: true,
		Files:    []ImageFile{{"a/b", "/etc/c", 0o755}},
		Binaries: []ImageBinary{{"b", "/opt/bin/b"}, {"a", "/opt/bin/a"}},
		Platforms: []ImagePlatform{
			{platform.Platform{OS: "linux", Arch: "amd64"}, Target{"linux", "amd64", ""}},
			{platform.Platform{OS: "linux", Arch: "amd64", Variant: "v3"}, Target{"linux", "amd64", "v3"}},
		},
	}
	if len(got) != 2 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if len(got) == 2 && (len(got[1].Platforms) != 3 || got[1].Key != "image[1]") {
		t.Errorf("second image: %+v", got[1])
	}
}

// As in TestParseErrors: the file has these errors and no others.
func TestImageErrors(t *testing.T) {
	const image = imageHead + "[[image]]\nrepository = \"registry.example.com/x\"\n"
	for _, tt := range []struct{ name, text string }{
		{"no repository", imageHead + "[[image]]\n" + `
> release.toml:8: image[0].repository: missing`},
		{"repositories", imageHead + `[[image]]
repository = "x"
[[image]]
repository = "acme/x"
[[image]]
repository = "registry.example.com/X"
[[image]]
repository = "registry.example.com/x:1"
[[image]]
repository = "https://registry.example.com/x"
` + `
> release.toml:9: image[0].repository: "x" is no repository
> release.toml:11: image[1].repository: "acme/x": "acme" is not the host of a registry
> release.toml:13: image[2].repository: "registry.example.com/X" is no repository
> release.toml:15: image[3].repository: "registry.example.com/x:1" is no repository
> release.toml:17: image[4].repository: "https://registry.example.com/x" is no repository`},
		{"unknown and mistyped keys", image + "bases = \"scratch\"\ntmp = \"true\"\nports = [80]\n[[image.file]]\nsource = \"a\"\ndest = \"/a\"\n" + `
> release.toml:10: image[0].bases: unknown key
> release.toml:11: image[0].tmp: want true or false, not a string
> release.toml:12: image[0].ports[0]: want a string, not an integer
> release.toml:13: image[0].file[0].path: missing
> release.toml:15: image[0].file[0].dest: unknown key`},
		{"every value", image + `tags = ["-x", "a b", "{{.Target}}", "{{.Nope}}"]
binaries = ["a", "b", "a"]
platforms = ["linux", "linux/arm65"]
base = "registry.example.com/x"
dir = "bin"
entrypoint = ["tool"]
user = "nobody"
env = { "A-B" = "x", C = "a\nb" }
workdir = "/a/../b"
ports = ["0", "65536", "80/icmp", "80", "80/tcp"]
labels = { "org.opencontainers.image.version" = "1", "org.opencontainers.nope" = "" }
annotations = { "a b" = "", "org.opencontainers.image.created" = "" }
source = "ftp://x"
licenses = "Apache 2.0)"
` + `
> release.toml:10: image[0].tags[0]: "-x" is no tag
> release.toml:10: image[0].tags[1]: "a b" is no tag
> release.toml:10: image[0].tags[2]: template: there is no single .Target here
> release.toml:10: image[0].tags[3]: template: 
> release.toml:11: image[0].binaries[1]: unknown binary "b"
> release.toml:11: image[0].binaries[2]: "a" is listed twice
> release.toml:12: image[0].platforms[0]: "linux": want a glob
> release.toml:12: image[0].platforms[1]: linux/arm65: unknown GOARCH "arm65"
> release.toml:13: image[0].base: "registry.example.com/x" names neither a tag nor a digest
> release.toml:14: image[0].dir: "bin" is no clean absolute path
> release.toml:15: image[0].entrypoint[0]: "tool" is no clean absolute path
> release.toml:16: image[0].user: "nobody" is no user
> release.toml:17: image[0].env.A-B: not the name of a variable
> release.toml:17: image[0].env.C: the value holds a line end or a NUL
> release.toml:18: image[0].workdir: "/a/../b" is no clean absolute path
> release.toml:19: image[0].ports[0]: "0" is no port
> release.toml:19: image[0].ports[1]: "65536": ports end at 65535
> release.toml:19: image[0].ports[2]: "80/icmp" is no port
> release.toml:19: image[0].ports[4]: 80/tcp is listed twice
> release.toml:20: image[0].labels."org.opencontainers.image.version": twice sets this one
> release.toml:20: image[0].labels."org.opencontainers.nope": unknown standard annotation
> release.toml:21: image[0].annotations."a b": the key is not made of
> release.toml:21: image[0].annotations."org.opencontainers.image.created": twice sets this one
> release.toml:22: image[0].source: "ftp://x" is no https URL
> release.toml:23: image[0].licenses: "Apache 2.0)" is no SPDX license expression`},
		{"empty values", image + "tags = []\nbinaries = []\nplatforms = []\nentrypoint = []\nbase = \"\"\nworkdir = \"\"\n" + `
> release.toml:10: image[0].tags: empty
> release.toml:11: image[0].binaries: empty
> release.toml:12: image[0].platforms: empty
> release.toml:13: image[0].entrypoint: empty
> release.toml:14: image[0].base: empty
> release.toml:15: image[0].workdir: empty`},
		{"who signed a base", imageHead + `[[image]]
repository = "registry.example.com/a"
base_key = "k.pub"
[[image]]
repository = "registry.example.com/b"
base = "registry.example.com/x:1"
base_key = "../k.pub"
[[image]]
repository = "registry.example.com/c"
base = "registry.example.com/x:1"
base_identity = "me"
[[image]]
repository = "registry.example.com/d"
base = "registry.example.com/x:1"
base_key = "k"
base_issuer = "https://i.example.com"
[[image]]
repository = "registry.example.com/e"
base = "registry.example.com/x:1"
base_key = ""
` + `
> release.toml:8: image[0].base: there is none, so nobody signs it
> release.toml:14: image[1].base_key: "../k.pub" is no clean path
> release.toml:18: image[2].base_identity: an identity is worth what its issuer is
> release.toml:22: image[3].base_key: there is an identity as well
> release.toml:27: image[4].base_key: empty`},
		{"bases", imageHead + `[[image]]
repository = "r.example.com/x"
base = "debian:12"
[[image]]
repository = "r.example.com/x"
base = "r.example.com/x@sha256:12"
[[image]]
repository = "r.example.com/x"
base = "r.example.com/x:.a"
[[image]]
repository = "r.example.com/x"
base = "r.example.com:5000"
` + `
> release.toml:10: image[0].base: "debian" is no repository
> release.toml:13: image[1].base: "r.example.com/x@sha256:12": want sha256:
> release.toml:16: image[2].base: ".a" is no tag
> release.toml:19: image[3].base: "r.example.com" is no repository`},
		{"users", imageHead + `[[image]]
repository = "r.example.com/x"
user = "01"
[[image]]
repository = "r.example.com/x"
user = "2147483648"
[[image]]
repository = "r.example.com/x"
user = "1:"
` + `
> release.toml:10: image[0].user: "01" is no user
> release.toml:13: image[1].user: "2147483648": 2147483648 is more than
> release.toml:16: image[2].user: "1:" is no user`},
		{"files", image + `[[image.file]]
source = "../a"
path = "/a"
mode = "4755"
[[image.file]]
source = "doc/*"
path = "etc/a"
mode = "rw"
[[image.file]]
source = "b"
path = "/a"
[[image.file]]
source = "b"
path = "/usr/local/bin/a"
[[image.file]]
source = "b"
path = "/x/.wh.y"
[[image.file]]
source = ".git/HEAD"
path = "/head"
` + `
> release.toml:11: image[0].file[0].source: "../a" is no clean path
> release.toml:13: image[0].file[0].mode: "4755" is no mode
> release.toml:15: image[0].file[1].source: "doc/*" is no clean path
> release.toml:16: image[0].file[1].path: "etc/a" is no clean absolute path
> release.toml:17: image[0].file[1].mode: "rw" is no mode
> release.toml:20: image[0].file[2].path: /a is the path of image[0].file[0] too
> release.toml:23: image[0].file[3].path: /usr/local/bin/a is the path of the binary a too
> release.toml:26: image[0].file[4].path: "/x/.wh.y": a name that begins with .wh.
> release.toml:28: image[0].file[5].source: ".git/HEAD": what is in .git is no part of the commit`},
		{"too many", image + "platforms = [" + strings.Repeat("\"linux/*\",", maxImagePlatforms+1) + "]\n" + `
> release.toml:10: image[0].platforms: more than 100 globs`},
		{"too many images", imageHead + strings.Repeat("[[image]]\nrepository = \"r.example.com/x\"\n", maxImages+1) + `
> release.toml:8: image: more than 100 images`},
		{"which binary", strings.Replace(image, "[matrix]", "[[binary]]\npackage = \"./b\"\n[matrix]", 1) + `
> release.toml:10: image[0].binaries: missing: there are 2 binaries`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, list, _ := strings.Cut(tt.text, "\n> ")
			_, err := Parse("release.toml", []byte(text))
			compare(t, err, strings.Split(list, "\n> "))
		})
	}
}

func TestImageExpandErrors(t *testing.T) {
	const image = "[[image]]\nrepository = \"registry.example.com/x\"\n"
	for _, tt := range []struct{ name, text string }{
		{"platforms", imageHead + image + "platforms = [\"*/arm64\", \"plan9/*\"]\n" + `
> release.toml:10: image[0].platforms[0]: darwin/arm64: images are made for linux alone
> release.toml:10: image[0].platforms[1]: plan9/* matches no target`},
		{"no linux", minimal[:strings.Index(minimal, "[matrix]")] + "[matrix]\nos = [\"darwin\"]\narch = [\"arm64\"]\n" + image + `
> release.toml:7: image[0]: there is no linux target that every binary`},
		{"two of one platform", imageHead + "386 = [\"sse2\", \"softfloat\"]\ninclude = [\"linux/386\", \"linux/386/softfloat\", \"linux/arm\", \"linux/arm/7,softfloat\"]\n" + image + `
> release.toml:10: image[0]: linux/386 and linux/386/softfloat are both the platform linux/386
> release.toml:10: image[0]: linux/arm/7 and linux/arm/7,softfloat are both the platform linux/arm/v7`},
		{"more than a platform says", imageHead + "arm64 = [\"v8.0,lse\", \"v9.0,crypto\"]\ninclude = [\"linux/arm/5,hardfloat\"]\n" + image + `
> release.toml:10: image[0]: linux/arm/5,hardfloat: no platform says that there must be hardware for floating point
> release.toml:10: image[0]: linux/arm64/v8.0,lse: no platform says that the processor must have lse
> release.toml:10: image[0]: linux/arm64/v9.0,crypto: no platform says that the processor must have crypto`},
		{"not built", strings.Replace(imageHead, "[matrix]", "targets = [\"linux/arm64\", \"darwin/*\"]\n[[binary]]\npackage = \"./b\"\n[matrix]", 1) + image + "binaries = [\"b\", \"a\"]\nplatforms = [\"linux/*\"]\n" + `
> release.toml:14: image[0].platforms[0]: a is not built for linux/amd64
> release.toml:14: image[0].platforms[0]: a is not built for linux/amd64/v3`},
		{"one tag twice", imageHead + image + "tags = [\"a\", \"{{.Version}}\", \"1.2.3\"]\n" + image + "tags = [\"a\"]\n" + `
> release.toml:10: image[0].tags[2]: registry.example.com/x:1.2.3 is also what image[0].tags[1] makes
> release.toml:13: image[1].tags[0]: registry.example.com/x:a is also what image[0].tags[0] makes`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, list, _ := strings.Cut(tt.text, "\n> ")
			f := mustParse(t, text)
			builds, err := f.Builds(platform.KnownPorts, SampleVars("hello"))
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.Images(builds, SampleVars("hello"))
			compare(t, err, strings.Split(list, "\n> "))
		})
	}
}

// A tag that only the values of a release can spoil.
func TestImageValuesAreChecked(t *testing.T) {
	f := mustParse(t, imageHead+"[[image]]\nrepository = \"r.example.com/x\"\ntags = [\"{{.Tag}}\"]\n")
	v := SampleVars("hello")
	v.Tag = "server/v1.2.3"
	builds, err := f.Builds(platform.KnownPorts, v)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Images(builds, v)
	compare(t, err, []string{`release.toml:10: image[0].tags[0]: "server/v1.2.3" is no tag`})
}
