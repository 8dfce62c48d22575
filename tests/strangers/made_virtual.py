# SPDX-License-Identifier: GPL-2.0-or-later
"""Odd rasters: virtual ones, archives, and names of datasets that are no files."""

import gzip
import tarfile
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
from osgeo import gdal

from .making import Made, everywhere, odd, outside_hole, scene, tif, with_hole, written

SIZE = 'rasterXSize="26" rasterYSize="20"'


def _source(path: str, kind: str = "SimpleSource", band: int = 1, more: str = "") -> str:
    name = path.replace("&", "&amp;")
    file = f'<SourceFilename relativeToVRT="0">{name}</SourceFilename>'
    return f"<{kind}>{file}<SourceBand>{band}</SourceBand>{more}</{kind}>"


def _vrt(folder: Path, bands: str, size: str = SIZE) -> str:
    return written(folder / "in.vrt", f"<VRTDataset {size}>{bands}</VRTDataset>")


def _band(inner: str, dtype: str = "Byte", attributes: str = "", number: int = 1) -> str:
    return f'<VRTRasterBand dataType="{dtype}" band="{number}" {attributes}>{inner}</VRTRasterBand>'


@odd("VRT of a VRT of a VRT")
def _nested(folder: Path) -> Made:
    path = tif(folder, scene(3), name="source.tif")
    for name in ("one.vrt", "two.vrt", "in.vrt"):
        gdal.Translate(str(folder / name), path, format="VRT").FlushCache()
        path = str(folder / name)
    return Made(path, everywhere())


@odd("VRT with the path of its source relative to it")
def _relative(folder: Path) -> Made:
    tif(folder, scene(1), name="source.tif")
    source = '<SimpleSource><SourceFilename relativeToVRT="1">source.tif</SourceFilename></SimpleSource>'
    return Made(_vrt(folder, _band(source)), everywhere())


@odd("VRT without its source")
def _missing(folder: Path) -> Made:
    return Made(_vrt(folder, _band(_source(str(folder / "gone.tif")))), refused="cannot be")


@odd("VRT without one of two sources")
def _one_missing(folder: Path) -> Made:
    path = tif(folder, scene(1, 20, 13), name="left.tif")
    left = '<SrcRect xOff="0" yOff="0" xSize="13" ySize="20"/><DstRect xOff="0" yOff="0" xSize="13" ySize="20"/>'
    right = '<SrcRect xOff="0" yOff="0" xSize="13" ySize="20"/><DstRect xOff="13" yOff="0" xSize="13" ySize="20"/>'
    gone = _source(str(folder / "gone.tif"), more=right)
    return Made(_vrt(folder, _band(_source(path, more=left) + gone)), refused="cannot be")


@odd("VRT that a source has less of than it says")
def _smaller(folder: Path) -> Made:
    path = tif(folder, scene(1, 10, 12), name="source.tif")
    part = '<SrcRect xOff="0" yOff="0" xSize="26" ySize="20"/><DstRect xOff="0" yOff="0" xSize="26" ySize="20"/>'
    return Made(_vrt(folder, _band(_source(path, more=part))), either=True)


@odd("VRT that refers to itself")
def _itself(folder: Path) -> Made:
    return Made(_vrt(folder, _band(_source(str(folder / "in.vrt")))), refused="cannot be")


@odd("VRT of two that refer to each other")
def _circle(folder: Path) -> Made:
    written(folder / "other.vrt", f"<VRTDataset {SIZE}>{_band(_source(str(folder / 'in.vrt')))}</VRTDataset>")
    return Made(_vrt(folder, _band(_source(str(folder / "other.vrt")))), refused="cannot be")


@odd("VRT without bands")
def _no_bands(folder: Path) -> Made:
    return Made(_vrt(folder, ""), refused="band")


for _size in ((0, 0), (0, 20), (26, 0), (-5, 20)):

    @odd(f"VRT of {_size[0]} x {_size[1]} pixels")
    def _empty(folder: Path, size=_size) -> Made:
        path = tif(folder, scene(1), name="source.tif")
        return Made(
            _vrt(folder, _band(_source(path)), f'rasterXSize="{size[0]}" rasterYSize="{size[1]}"'),
            refused="cannot be opened",
        )


@odd("VRT of more pixels than can be processed")
def _endless(folder: Path) -> Made:
    path = tif(folder, scene(1), name="source.tif")
    return Made(
        _vrt(folder, _band(_source(path)), 'rasterXSize="2000000000" rasterYSize="2000000000"'), refused="pixels"
    )


@odd("VRT with a band that has no source")
def _no_source(folder: Path) -> Made:
    return Made(_vrt(folder, _band("")), refused="no valid pixel")


@odd("VRT with a gap, none declared")
def _gap(folder: Path) -> Made:
    path = tif(folder, scene(1, 20, 13), name="left.tif")
    left = '<SrcRect xOff="0" yOff="0" xSize="13" ySize="20"/><DstRect xOff="0" yOff="0" xSize="13" ySize="20"/>'
    valid = everywhere()
    valid[:, 13:] = False
    return Made(_vrt(folder, _band(_source(path, more=left))), valid)


@odd("VRT mosaic with no data")
def _mosaic(folder: Path) -> Made:
    for name, col in (("a.tif", 0), ("b.tif", 13)):
        dataset = gdal.Open(tif(folder, scene(2, 10, 13, np.int16, seed=col), -9999, name=name), gdal.GA_Update)
        dataset.SetGeoTransform((500000.0 + 10 * col, 10.0, 0.0, 6000000.0 - 5 * col, 0.0, -10.0))
        del dataset
    path = str(folder / "in.vrt")
    gdal.BuildVRT(path, [str(folder / "a.tif"), str(folder / "b.tif")]).FlushCache()
    dataset = gdal.Open(path)
    return Made(path, (dataset.ReadAsArray() != -9999).all(axis=0))


def _resampled(kind: str, factor: float, folder: Path) -> Made:
    """Sources that are sampled or averaged from another resolution."""
    rows, cols = int(20 * factor), int(26 * factor)
    path = tif(folder, scene(1, rows, cols), name="source.tif")
    part = (
        f'<SrcRect xOff="0" yOff="0" xSize="{cols}" ySize="{rows}"/><DstRect xOff="0" yOff="0" xSize="26" ySize="20"/>'
    )
    return Made(_vrt(folder, _band(_source(path, kind, more=part))), everywhere())


odd("VRT of an averaged source, coarser")(partial(_resampled, "AveragedSource", 2.5))
odd("VRT of an averaged source, finer")(partial(_resampled, "AveragedSource", 0.5))
odd("VRT of a source of higher resolution")(partial(_resampled, "SimpleSource", 3))
odd("VRT of a source of lower resolution")(partial(_resampled, "SimpleSource", 0.5))
odd("VRT of a source at an odd ratio")(partial(_resampled, "ComplexSource", 1.7))


def _resampling(method: str, folder: Path) -> Made:
    path = tif(folder, scene(2, 30, 41), name="source.tif")
    part = '<SrcRect xOff="0.3" yOff="0.7" xSize="40.1" ySize="29"/><DstRect xOff="0" yOff="0" xSize="26" ySize="20"/>'
    source = _source(path, more=part).replace("<SimpleSource>", f'<SimpleSource resampling="{method}">')
    path = _vrt(folder, _band(source))
    return Made(path, gdal.Open(path).ReadAsArray() != 0)  # cubic goes below


for _method in ("bilinear", "cubic", "average", "mode"):
    odd(f"VRT resampled, {_method}")(partial(_resampling, _method))


@odd("VRT of a source that is scaled and looked up")
def _looked_up(folder: Path) -> Made:
    path = tif(folder, scene(1), name="source.tif")
    scaled = _band(_source(path, "ComplexSource", more="<ScaleOffset>3</ScaleOffset><ScaleRatio>0.5</ScaleRatio>"))
    table = _band(_source(path, "ComplexSource", more="<LUT>0:10,255:250</LUT>"), number=2)
    return Made(_vrt(folder, scaled + table), everywhere())


@odd("VRT of a filtered source")
def _filtered(folder: Path) -> Made:
    path = tif(folder, scene(1), name="source.tif")
    kernel = '<Kernel normalized="1"><Size>3</Size><Coefs>1 1 1 1 1 1 1 1 1</Coefs></Kernel>'
    return Made(_vrt(folder, _band(_source(path, "KernelFilteredSource", more=kernel))), everywhere())


@odd("VRT by a pixel function")
def _function(folder: Path) -> Made:
    path = tif(folder, scene(2), name="source.tif")
    inner = "<PixelFunctionType>sum</PixelFunctionType>" + _source(path) + _source(path, band=2)
    return Made(_vrt(folder, _band(inner, "Float32", 'subClass="VRTDerivedRasterBand"')), everywhere())


@odd("VRT by a pixel function that there is not")
def _no_function(folder: Path) -> Made:
    path = tif(folder, scene(1), name="source.tif")
    inner = "<PixelFunctionType>no such thing</PixelFunctionType>" + _source(path)
    return Made(_vrt(folder, _band(inner, "Float32", 'subClass="VRTDerivedRasterBand"')), refused="cannot be")


@odd("VRT by code in Python, which GDAL does not run unasked")
def _python(folder: Path) -> Made:
    path = tif(folder, scene(1), name="source.tif")
    code = "def f(*arguments):\n    open('ran', 'w')\n"
    inner = (
        f"<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage>Python</PixelFunctionLanguage>"
        f"<PixelFunctionCode><![CDATA[{code}]]></PixelFunctionCode>" + _source(path)
    )
    return Made(_vrt(folder, _band(inner, "Float32", 'subClass="VRTDerivedRasterBand"')), refused="cannot be")


@odd("VRT of raw bytes")
def _raw(folder: Path) -> Made:
    values = scene(1, dtype=np.int16)[0]
    (folder / "bytes.bin").write_bytes(b"head" + values.astype(">i2").tobytes())
    inner = (
        '<SourceFilename relativetoVRT="1">bytes.bin</SourceFilename><ImageOffset>4</ImageOffset>'
        "<PixelOffset>2</PixelOffset><LineOffset>52</LineOffset><ByteOrder>MSB</ByteOrder>"
    )
    return Made(_vrt(folder, _band(inner, "Int16", 'subClass="VRTRawRasterBand"')), everywhere())


@odd("VRT that is warped")
def _warped(folder: Path) -> Made:
    path = tif(folder, scene(2, 40, 50), name="source.tif")
    gdal.Warp(str(folder / "in.vrt"), path, format="VRT", dstSRS="EPSG:4326", dstNodata=255).FlushCache()
    values = gdal.Open(str(folder / "in.vrt")).ReadAsArray()
    return Made(str(folder / "in.vrt"), (values != 255).all(axis=0))


@odd("VRT that is warped with an alpha band")
def _warped_alpha(folder: Path) -> Made:
    path = tif(folder, scene(3, 40, 50), name="source.tif")
    gdal.Warp(str(folder / "in.vrt"), path, format="VRT", dstSRS="EPSG:4326", dstAlpha=True).FlushCache()
    values = gdal.Open(str(folder / "in.vrt")).ReadAsArray()
    return Made(str(folder / "in.vrt"), values[3] != 0)


@odd("VRT as a text rather than a file")
def _text(folder: Path) -> Made:
    source = _source(tif(folder, scene(1), name="source.tif"))
    return Made(f"<VRTDataset {SIZE}>\n{_band(source)}\n</VRTDataset>", everywhere())


@odd("VRT as a text whose source is gone")
def _text_missing(folder: Path) -> Made:
    source = _source(str(folder / "gone.tif"))
    return Made(f"<VRTDataset {SIZE}>\n{_band(source)}\n</VRTDataset>", refused="cannot be")


@odd("vrt:// with chosen bands")
def _vrt_scheme(folder: Path) -> Made:
    return Made(f"vrt://{tif(folder, scene(3))}?bands=3,1", everywhere())


def _packed(kind: str, folder: Path) -> Made:
    path = tif(folder, with_hole(0, 3), 0)
    if kind == "zip":
        with zipfile.ZipFile(folder / "in.zip", "w") as archive:
            archive.write(path, "folder in it/in.tif")
        source = f"/vsizip/{folder}/in.zip/folder in it/in.tif"
    elif kind == "zip whole":
        with zipfile.ZipFile(folder / "in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.write(path, "in.tif")
        source = f"/vsizip/{folder}/in.zip"
    elif kind == "gz":
        with gzip.open(folder / "in.tif.gz", "wb") as file:
            file.write(Path(path).read_bytes())
        source = f"/vsigzip/{folder}/in.tif.gz"
    elif kind == "tar":
        with tarfile.open(folder / "in.tar", "w") as archive:
            archive.add(path, "in.tif")
        source = f"/vsitar/{folder}/in.tar/in.tif"
    else:
        content = Path(path).read_bytes()
        (folder / "in.bin").write_bytes(b"0123456789" + content + b"9876")
        source = f"/vsisubfile/10_{len(content)},{folder}/in.bin"
    return Made(source, outside_hole())


for _kind in ("zip", "zip whole", "gz", "tar", "part of a file"):
    odd(f"packed: {_kind}")(partial(_packed, _kind))


@odd("packed: nothing of that name in it")
def _not_packed(folder: Path) -> Made:
    with zipfile.ZipFile(folder / "in.zip", "w") as archive:
        archive.write(tif(folder, scene(1)), "in.tif")
    return Made(f"/vsizip/{folder}/in.zip/other.tif", refused="cannot be opened")


@odd("derived by GDAL")
def _derived(folder: Path) -> Made:
    return Made(f"DERIVED_SUBDATASET:LOGAMPLITUDE:{tif(folder, scene(1))}", everywhere())


@odd("page of a GeoTIFF that it does not have")
def _no_page(folder: Path) -> Made:
    return Made(f"GTIFF_DIR:7:{tif(folder, scene(1))}", refused="cannot be opened")


@odd("in memory of another process")
def _memory(folder: Path) -> Made:
    return Made("/vsimem/gone.tif", refused="cannot be opened")


@odd("from a server that there is not")
def _server(folder: Path) -> Made:
    return Made("/vsicurl/http://127.0.0.1:9/in.tif", refused="cannot be opened")


@odd("WMS description of a server that there is not")
def _wms(folder: Path) -> Made:
    text = """<GDAL_WMS><Service name="TMS"><ServerUrl>http://127.0.0.1:9/${z}/${x}/${y}.png</ServerUrl></Service>
    <DataWindow><UpperLeftX>-180</UpperLeftX><UpperLeftY>90</UpperLeftY><LowerRightX>180</LowerRightX>
    <LowerRightY>-90</LowerRightY><SizeX>64</SizeX><SizeY>32</SizeY><TileLevel>0</TileLevel></DataWindow>
    <BandsCount>3</BandsCount><BlockSizeX>32</BlockSizeX><BlockSizeY>32</BlockSizeY><Timeout>2</Timeout></GDAL_WMS>"""
    return Made(written(folder / "in.xml", text), refused="cannot be read")
