package oci

import (
	"archive/zip"
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"sync"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"github.com/twicebuild/twice/matrix"
)

// optionFiles returns the files that p's options stand for. Those that the release
// file has another content for are left out.
func optionFiles(p matrix.ImagePlan, zones []entry) []entry {
	var list []entry
	file := func(path, text string) {
		list = append(list, entry{path: path, mode: 0o644, system: true, Content: contentOf([]byte(text))})
	}

	uid, gid := int(p.UID), int(p.GID)

	// A base has its own users.
	if p.Base == matrix.Scratch {
		passwd, group, home := userFiles(uid, gid)
		file("/etc/passwd", passwd)
		file("/etc/group", group)
		list = append(list, entry{path: home, dir: true, mode: 0o700, uid: uid, gid: gid})
	}

	if p.Tmp {
		list = append(list, entry{path: "/tmp", dir: true, mode: 0o1777})
	}
	if p.Certificates {
		list = append(list, entry{path: "/etc/ssl/certs/ca-certificates.crt", mode: 0o644, system: true, Content: certificates()})
	}
	if p.Timezones {
		list = append(list, zones...)
	}

	given := map[string]bool{}
	for _, f := range p.Files {
		given[f.Path] = true
	}
	var kept []entry
	for _, e := range list {
		if !given[e.path] {
			kept = append(kept, e)
		}
	}
	return kept
}

// userFiles returns passwd(5) and group(5) with root, nobody and the user of the
// image, and that user's home, which runtimes look up there to set HOME.
func userFiles(uid, gid int) (passwd, group, home string) {
	passwd = "root:x:0:0:root:/root:/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin\n"
	group = "root:x:0:\nnobody:x:65534:\n"

	name, home := "user", "/home/user"
	if uid == matrix.NonRoot {
		name, home = "nonroot", "/home/nonroot"
	}

	switch uid {
	case 0:
		home = "/root"
	case 65534:
		// The user nobody has no home, so it gets the home of other users.
		passwd = strings.Replace(passwd, "/nonexistent", home, 1)
	default:
		passwd += fmt.Sprintf("%s:x:%d:%d:%s:%s:/sbin/nologin\n", name, uid, gid, name, home)
	}

	if gid != 0 && gid != 65534 {
		group += fmt.Sprintf("%s:x:%d:\n", name, gid)
	}
	return passwd, group, home
}

// certificates returns the certification authorities that Mozilla trusts for web
// servers, as PEM. They come from golang.org/x/crypto/x509roots, which follows
// Mozilla's list, and so with the version of this program. An authority that is
// trusted with a constraint is left out, since a file of certificates cannot say
// the constraint.
var certificates = sync.OnceValue(func() Content {
	var b bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return contentOf(b.Bytes())
})

// zoneinfoDir is the first folder in which Go and the C library look for time zones.
const zoneinfoDir = "/usr/share/zoneinfo"

// maxZones bounds the files in an archive of time zones. Go's has 600.
const maxZones = 5000

// MaxZoneinfo bounds an archive of time zones and the files in it, in bytes. Go's has 0.4 MB.
const MaxZoneinfo = 16 << 20

// timezones returns the files of an archive of time zones, lib/time/zoneinfo.zip
// of a Go distribution, below /usr/share/zoneinfo.
func timezones(archive []byte) ([]entry, error) {
	if len(archive) == 0 {
		return nil, errors.New("time zones: there is no archive of them")
	}

	zr, err := zip.NewReader(bytes.NewReader(archive), int64(len(archive)))
	if err != nil {
		return nil, fmt.Errorf("time zones: %w", err)
	}
	if len(zr.File) > maxZones {
		return nil, fmt.Errorf("time zones: more than %d files", maxZones)
	}

	var list []entry
	left := int64(MaxZoneinfo)
	for _, f := range zr.File {
		if strings.HasSuffix(f.Name, "/") {
			continue
		}
		if !fs.ValidPath(f.Name) {
			return nil, fmt.Errorf("time zones: %q is no path in an archive", f.Name)
		}

		r, err := f.Open()
		if err != nil {
			return nil, fmt.Errorf("time zones: %s: %w", f.Name, err)
		}

		data, err := io.ReadAll(io.LimitReader(r, left+1))
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, fmt.Errorf("time zones: %s: %w", f.Name, err)
		}
		// The format is RFC 9636's.
		if left -= int64(len(data)); left < 0 || !bytes.HasPrefix(data, []byte("TZif")) {
			return nil, fmt.Errorf("time zones: %s: no time zone, or more than %d bytes in all", f.Name, MaxZoneinfo)
		}

		list = append(list, entry{path: path.Join(zoneinfoDir, f.Name), mode: 0o644, system: true, Content: contentOf(data)})
	}

	if len(list) == 0 {
		return nil, errors.New("time zones: the archive of them is empty")
	}
	return list, nil
}
