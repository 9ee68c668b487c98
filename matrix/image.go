package matrix

// Container is a table [[image]]: an OCI image for one or more platforms, made
// from binaries of the release.
type Container struct {
	// Repository is where the image is published: a registry's host, a slash and
	// a name. Required. No host is implied.
	//
	//	repository = "registry.example.com/acme/tool"
	Repository string `toml:"repository,required"`
	// Tags are templates for tags. Default: the version, with "-" for "+", which
	// a tag cannot hold.
	//
	//	tags = ["{{.Version}}", "latest"]
	Tags []string `toml:"tags"`
	// Binaries are names of the binaries in the image. Default: the only one; it
	// is required where there are several.
	//
	//	binaries = ["tool"]
	Binaries []string `toml:"binaries"`
	// Platforms are globs for the targets to make the image for, all of which
	// must be for linux. Default: the linux targets that every binary of the
	// image is built for. Targets are written as everywhere in this file
	// (linux/arm/7), platforms of images as registries know them follow from them
	// (linux/arm/v7); see [Target.Platform]. Two targets of one platform are an
	// error.
	//
	//	platforms = ["linux/amd64", "linux/arm64"]
	Platforms []string `toml:"platforms"`
	// Base is the image to add to: "scratch" (the default), which is empty, or a
	// reference with a digest, a tag or both. The digest of a tag is read from the
	// lock file beside the release file, never from the registry. The base's own
	// layers are kept as they are.
	//
	//	base = "registry.example.com/distroless/static:nonroot"
	Base string `toml:"base"`
	// BaseKey is a file, relative to the release file's folder, with the public key
	// that has to have signed the base. BaseIdentity and BaseIssuer name instead whom
	// a certificate of the public Sigstore instance has to be for. Signatures are
	// Sigstore bundles that refer to the image (OCI 1.1), as twice and cosign 3 attach
	// them. Default: the base's signature is not checked.
	//
	//	base_key = "keys/base.pub"
	BaseKey      string `toml:"base_key"`
	BaseIdentity string `toml:"base_identity"`
	BaseIssuer   string `toml:"base_issuer"`
	// Dir is the folder of the binaries in the image. Default "/usr/local/bin".
	Dir string `toml:"dir"`
	// Entrypoint is the command that the image runs. It begins with an absolute
	// path. Default: the first of the binaries.
	//
	//	entrypoint = ["/usr/local/bin/tool", "serve"]
	Entrypoint []string `toml:"entrypoint"`
	// Cmd are arguments after those of the entrypoint, which whoever runs the
	// image can replace. Default none; those of the base are not taken over.
	Cmd []string `toml:"cmd"`
	// User is whom the entrypoint runs as: "nonroot" (the default, which is
	// 65532:65532), "root", or numbers: "1000" or "1000:1000". Names are not
	// looked up in a base, and clusters that refuse root want a number.
	User string `toml:"user"`
	// Env are variables for the entrypoint; values are templates. They add to
	// those of the base. Without a base there is a usual PATH.
	//
	//	env = { TOOL_HOME = "/var/lib/tool" }
	Env map[string]string `toml:"env"`
	// Workdir is the working directory, an absolute path. Default: the base's, or
	// "/".
	Workdir string `toml:"workdir"`
	// Ports are ports that the program listens on, as documentation: "8080" or
	// "8080/tcp", "53/udp", "5000/sctp". Default: the base's.
	Ports []string `toml:"ports"`
	// Labels go into the image's configuration, Annotations into its manifests and
	// index; values are templates. The standard ones of the OCI image
	// specification are set in both: title (the project), version, revision,
	// created, source, licenses, base.name and base.digest. Of these, only title can
	// be given here. The other standard ones can be given, too: description, url,
	// documentation, vendor, authors.
	//
	//	annotations = { "org.opencontainers.image.description" = "Does things." }
	Labels      map[string]string `toml:"labels"`
	Annotations map[string]string `toml:"annotations"`
	// Source is the URL of the source code. Default: not said.
	//
	//	source = "https://git.example.com/acme/tool"
	Source string `toml:"source"`
	// Licenses are the licences of what is in the image, as an SPDX license
	// expression (https://spdx.dev/learn/handling-license-info). Default: not
	// said.
	//
	//	licenses = "Apache-2.0"
	Licenses string `toml:"licenses"`
	// Certificates adds the certification authorities of Mozilla's list, as
	// /etc/ssl/certs/ca-certificates.crt. They come with twice, and change with
	// its version. Default: true without a base, otherwise false.
	Certificates *bool `toml:"certificates"`
	// Timezones adds the time zones of the Go toolchain that builds the release,
	// below /usr/share/zoneinfo. That is 0.8 MB in 600 files, and 0.1 MB to
	// download. Default false.
	Timezones *bool `toml:"timezones"`
	// Tmp adds the folder /tmp, for everyone to write to. Default: true without a
	// base, otherwise false.
	Tmp *bool `toml:"tmp"`
	// Files are more files, each under a heading [[image.file]].
	Files []ContainerFile `toml:"file"`
}

// ContainerFile is a table [[image.file]]: a file of the source tree, as hooks
// left it, that goes into an image.
type ContainerFile struct {
	// Source is its path, relative to the release file's folder. Required.
	//
	//	source = "configs/tool.toml"
	Source string `toml:"source,required"`
	// Path is the absolute path in the image. Required. The owner is root.
	//
	//	path = "/etc/tool/tool.toml"
	Path string `toml:"path,required"`
	// Mode is the file mode in octal. Default "0644". Modes that change the user
	// or group of a process are refused.
	//
	//	mode = "0755"
	Mode string `toml:"mode"`
}

// Scratch is the base of images that have none.
const Scratch = "scratch"

// NonRoot is the user and the group of an image where the release file names
// none: what distroless images call nonroot.
const NonRoot = 65532
