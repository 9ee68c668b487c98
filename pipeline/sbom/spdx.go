package sbom

import (
	"fmt"
	"strings"

	"github.com/twicebuild/twice/pipeline/purl"
)

// The part of SPDX 2.3 that is needed, with the sections of the specification. The types are our
// own, as those of CycloneDX are. The library spdx/tools-golang takes little (0.3 CPU seconds,
// 45 kB), but it brings two more modules to trust.
type (
	spdxDocument struct { // 6
		Version       string             `json:"spdxVersion"`
		DataLicense   string             `json:"dataLicense"`
		ID            string             `json:"SPDXID"`
		Name          string             `json:"name"`
		Namespace     string             `json:"documentNamespace"`
		Comment       string             `json:"comment"`
		CreationInfo  spdxCreation       `json:"creationInfo"`
		Packages      []spdxPackage      `json:"packages"`
		Relationships []spdxRelationship `json:"relationships"`
	}
	spdxCreation struct { // 6.8, 6.9
		Created  string   `json:"created"`
		Creators []string `json:"creators"`
	}
	spdxPackage struct { // 7
		ID               string           `json:"SPDXID"`
		Name             string           `json:"name"`
		Version          string           `json:"versionInfo,omitempty"`
		FileName         string           `json:"packageFileName,omitempty"`
		Supplier         string           `json:"supplier"`
		DownloadLocation string           `json:"downloadLocation"`
		FilesAnalyzed    bool             `json:"filesAnalyzed"`
		Checksums        []spdxChecksum   `json:"checksums,omitempty"`
		LicenseConcluded string           `json:"licenseConcluded"`
		LicenseDeclared  string           `json:"licenseDeclared"`
		Copyright        string           `json:"copyrightText"`
		Description      string           `json:"description,omitempty"`
		ExternalRefs     []spdxRef        `json:"externalRefs,omitempty"`
		Purpose          string           `json:"primaryPackagePurpose"`
		Annotations      []spdxAnnotation `json:"annotations,omitempty"`
	}
	spdxChecksum struct { // 7.10
		Algorithm string `json:"algorithm"`
		Value     string `json:"checksumValue"`
	}
	spdxRef struct { // 7.21
		Category string `json:"referenceCategory"`
		Type     string `json:"referenceType"`
		Locator  string `json:"referenceLocator"`
	}
	spdxRelationship struct { // 11
		From string `json:"spdxElementId"`
		Type string `json:"relationshipType"`
		To   string `json:"relatedSpdxElement"`
	}
	spdxAnnotation struct { // 12
		Annotator string `json:"annotator"`
		Date      string `json:"annotationDate"`
		Type      string `json:"annotationType"`
		Comment   string `json:"comment"`
	}
)

// noAssertion is what SPDX has for what nobody says.
const noAssertion = "NOASSERTION"

// SPDX returns the list as an SPDX 2.3 document: JSON, indented and with a final newline.
//
// The binary is a package with a file name, not a file. A file needs a SHA-1 (section 8.4) and
// cannot have a version.
func (d *Document) SPDX() ([]byte, error) {
	const document, binary, stdlib, toolchain = "SPDXRef-DOCUMENT", "SPDXRef-Binary", "SPDXRef-Stdlib", "SPDXRef-Toolchain"

	number := release(d.goVersion)
	file := d.spdxPackage(binary, d.binary.Name, d.binary.Version, "APPLICATION", d.binaryProperties())
	file.FileName = d.binary.Name
	file.Checksums = []spdxChecksum{{"SHA256", d.binary.Digest.Hex()}}
	doc := spdxDocument{
		Version: "SPDX-2.3", DataLicense: "CC0-1.0", ID: document, Name: d.binary.Name,
		Comment: "Made from the Go build information of the binary, which lists modules but not which of them needs which: " +
			"the binary depends on all of them, and no other relationship is known.",
		CreationInfo:  spdxCreation{d.time(), []string{d.spdxTool()}},
		Packages:      []spdxPackage{file},
		Relationships: []spdxRelationship{{document, "DESCRIBES", binary}},
	}

	for _, c := range d.components() {
		p := d.spdxPackage(spdxID(c.ref), c.path, c.version, "LIBRARY", c.properties())
		if c.folder == "" {
			p.ExternalRefs = append(p.ExternalRefs, purlRef(c.path, c.version))
		}
		if c.h1 != "" {
			p.ExternalRefs = append(p.ExternalRefs, spdxRef{"OTHER", "golang-h1", c.h1})
		}
		doc.Packages = append(doc.Packages, p)
		doc.Relationships = append(doc.Relationships, spdxRelationship{binary, "DEPENDS_ON", p.ID})
	}

	// Scanners find the standard library and the toolchain by these names.
	library := d.spdxPackage(stdlib, "stdlib", number, "LIBRARY", d.goProperties())
	library.Description, library.ExternalRefs = stdlibText, []spdxRef{purlRef("stdlib", number)}
	compiler := d.spdxPackage(toolchain, "toolchain", number, "APPLICATION", d.goProperties())
	compiler.Description, compiler.ExternalRefs = toolchainText, []spdxRef{purlRef("toolchain", number)}
	doc.Packages = append(doc.Packages, library, compiler)

	doc.Relationships = append(doc.Relationships, spdxRelationship{binary, "DEPENDS_ON", stdlib})
	if !d.complete { // C code, which is not in build information (11.1 has this form)
		doc.Relationships = append(doc.Relationships, spdxRelationship{binary, "DEPENDS_ON", noAssertion})
	}
	doc.Relationships = append(doc.Relationships, spdxRelationship{toolchain, "BUILD_TOOL_OF", binary})

	// The namespace is a digest of the document, which has none yet.
	text, err := encode(doc)
	if err != nil {
		return nil, err
	}
	doc.Namespace = "https://github.com/twicebuild/twice/spdx/" + serial(text)
	return encode(doc)
}

// spdxPackage returns a package without checksums, references and relationships.
func (d *Document) spdxPackage(id, name, version, purpose string, properties []property) spdxPackage {
	p := spdxPackage{
		ID: id, Name: name, Version: version, Supplier: noAssertion, DownloadLocation: noAssertion,
		LicenseConcluded: noAssertion, LicenseDeclared: noAssertion, Copyright: noAssertion, Purpose: purpose,
	}
	for _, v := range properties {
		p.Annotations = append(p.Annotations, spdxAnnotation{d.spdxTool(), d.time(), "OTHER", v.Name + "=" + v.Value})
	}
	return p
}

// spdxTool returns the tool that the document names as its creator.
func (d *Document) spdxTool() string {
	if d.binary.Tool == "" {
		return "Tool: twice"
	}
	return "Tool: twice-" + d.binary.Tool
}

// purlRef returns the package URL of a module as an external reference.
func purlRef(path, version string) spdxRef {
	return spdxRef{"PACKAGE-MANAGER", "purl", purl.Golang(path, version)}
}

// spdxID makes an identifier of letters, digits, "." and "-" (7.2). Different refs get different
// identifiers.
func spdxID(ref string) string {
	var b strings.Builder
	b.WriteString("SPDXRef-Module-")
	for i := range len(ref) {
		if c := ref[i]; 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "-%02X", c)
		}
	}
	return b.String()
}
