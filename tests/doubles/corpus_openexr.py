"""OpenEXR pictures: some by OpenEXR 3.5.3 itself, as the judge of what its compressions mean; others written here, uncompressed.

Those of OpenEXR show `scene()`, with the channel of blue called a linear one. The deep one holds it at a depth of 2, whole, and in
its upper half a white one at 1 through which half is seen; its first four columns hold nothing.
"""

import base64
import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]
WIDTH, HEIGHT = 38, 36
_FORMS: Final = {"f2": 1, "f4": 2}


def scene() -> NDArray[np.float16]:
    """Red, green, blue and grey light, height x width x 3, a little brighter to the right."""
    light = np.zeros((HEIGHT, WIDTH, 3))
    light[: HEIGHT // 2, : WIDTH // 2], light[: HEIGHT // 2, WIDTH // 2 :] = (0.8, 0.1, 0.1), (0.1, 0.7, 0.1)
    light[HEIGHT // 2 :, : WIDTH // 2], light[HEIGHT // 2 :, WIDTH // 2 :] = (0.1, 0.1, 0.9), (0.8, 0.8, 0.8)
    return (light * (0.6 + 0.4 * np.arange(WIDTH) / WIDTH)[:, None]).astype(np.float16)


def by_openexr(name: str) -> bytes:
    """Return one of the files below."""
    return zlib.decompress(base64.b85decode("".join(_BY_OPENEXR[name].split())))


def openexr(
    planes: dict[str, tuple[Plane, int]],
    *,
    data: tuple[int, int, int, int] | None = None,
    display: tuple[int, int, int, int] | None = None,
    chromaticities: tuple[float, ...] | None = None,
) -> bytes:
    """A file of rows that are not packed. `planes`: by name, the numbers of a channel, and every how manieth pixel has one.

    Its windows are as large as the largest plane, unless they are given.
    """
    height, width = max((plane.shape for plane, step in planes.values() if step == 1))
    data = data or (0, 0, width - 1, height - 1)
    channels = b"".join(
        name.encode() + b"\0" + struct.pack("<IIii", _FORMS[plane.dtype.str[1:]], 0, step, step)
        for name, (plane, step) in sorted(planes.items())
    )
    rows = []
    for row in range(data[3] + 1 - data[1]):
        numbers = [plane[row // step] for _, (plane, step) in sorted(planes.items()) if not (row + data[1]) % step]
        packed = b"".join(one.tobytes() for one in numbers)
        rows.append(struct.pack("<iI", data[1] + row, len(packed)) + packed)
    return _file(channels + b"\0", rows, (data, display or data), chromaticities)


def luminance_and_chroma(light: Plane, *, alpha: Plane | None = None) -> bytes:
    """The light as OpenEXR stores it for people's eyes: chroma at every second pixel of every second row."""
    luminance = light @ np.array([0.2126, 0.7152, 0.0722])
    chroma = {"RY": light[..., 0] / luminance - 1, "BY": light[..., 2] / luminance - 1}
    planes = {name: (plane[::2, ::2].astype(np.float16), 2) for name, plane in chroma.items()}
    return openexr(
        {
            "Y": (luminance.astype(np.float16), 1),
            **planes,
            **({} if alpha is None else {"A": (alpha.astype(np.float16), 1)}),
        }
    )


def deep(rows: list[list[list[tuple[float, float, float, float, float]]]]) -> bytes:
    """A deep file: by row and column any number of samples, each red, green and blue multiplied with its alpha, alpha, and depth."""
    kinds = {"A": (1, "<f2", 3), "B": (1, "<f2", 2), "G": (1, "<f2", 1), "R": (1, "<f2", 0), "Z": (2, "<f4", 4)}
    channels = b"".join(
        name.encode() + b"\0" + struct.pack("<IIii", kind, 0, 1, 1) for name, (kind, _, _) in kinds.items()
    )
    window = (0, 0, len(rows[0]) - 1, len(rows) - 1)
    chunks = []
    for number, row in enumerate(rows):
        counts = np.cumsum([len(samples) for samples in row]).astype("<i4").tobytes()
        samples = [sample for pixel in row for sample in pixel]
        data = b"".join(np.array([sample[at] for sample in samples], form).tobytes() for _, form, at in kinds.values())
        chunks.append(struct.pack("<i3Q", number, len(counts), len(data), len(data)) + counts + data)
    return _file(channels + b"\0", chunks, (window, window), None, is_deep=True)


def _file(
    channels: bytes,
    chunks: list[bytes],
    windows: tuple[tuple[int, int, int, int], tuple[int, int, int, int]],
    chromaticities: tuple[float, ...] | None,
    *,
    is_deep: bool = False,
) -> bytes:
    attributes = [
        ("channels", "chlist", channels),
        ("compression", "compression", b"\0"),
        ("dataWindow", "box2i", struct.pack("<4i", *windows[0])),
        ("displayWindow", "box2i", struct.pack("<4i", *windows[1])),
        ("lineOrder", "lineOrder", b"\0"),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", bytes(8)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    ]
    if chromaticities is not None:
        attributes.append(("chromaticities", "chromaticities", struct.pack("<8f", *chromaticities)))
    if is_deep:
        attributes += [
            ("type", "string", b"deepscanline"),
            ("version", "int", struct.pack("<i", 1)),
            ("chunkCount", "int", struct.pack("<i", len(chunks))),
        ]
    head = b"\x76\x2f\x31\x01" + struct.pack("<I", 2 | (0x800 if is_deep else 0))
    for name, kind, value in attributes:
        head += name.encode() + b"\0" + kind.encode() + b"\0" + struct.pack("<I", len(value)) + value
    head += b"\0"
    places = np.cumsum([len(head) + 8 * len(chunks), *map(len, chunks)])[:-1]
    return head + places.astype("<u8").tobytes() + b"".join(chunks)


_BY_OPENEXR: Final = {
    "RLE": (
        "c-qyLy-yTD6u{^9IPQZxzB%v<KZuQu;R-2<kYHkCas?!I%kCUZvdpf#lM_rN3oQoNlY$T`=qW8ME&Ky4O#BBdj4{T-"
        "NOIwv+xHR{&je#Nvzs@+d9&}${&uRZ-=9nwgb-`l<eWNzoH#5HWJ<2hkdz#g@hBciVx`)#LM(U1^Jx$;mtUC21-"
        "2>71;%anIazd9D~$A$^XsmR2^lsEJjYzSw9a9iKJjhpCuXsN$5yHHFz~1)s-"
        "|ErsX4AGNLSn)P6w7xDTnQ6DHpP>Ua65>;uXn~1!jxoKeiBS9wmYB8DAo$xZdP#3ASP`QBpTxm%%jf1o;@+$!Fwd1~}dge2bjV0)HU4QSDwH_#"
        "U}f0G=TadVmj#zz;}XLZ4pX8|2eI>_;BqDbEc6zaX~<ft4ZPN92oP^dAAfL)OZ`!YF<}vO0Et!h14KPmYiFqo`p-"
        "twvgg(GfozQS_;!=v!u|wVU7hwR?P7|EcVs55tX8*oq?^Hebf+*~V5@=DD!Bj=3nt&r=G!84A0l6?W@V*e#>5Tere)S%uwl3cKYMb}K0C)}ydn"
        "QDL`|!fw3^yY(sT)~~SJfWmI=-"
        "{?abU#qY8<b7fI{x5Qk|0rt8BCG9F2FGXU^s4yRd`JVwVGSHdG;l0y;5e#*<Cq4HS2S?Es)6G*4IHm);CMp=$8ilDZ))IpO9RK-"
        "8aUq3z;QwY$KP?b0qF"
    ),
    "ZIPS": (
        "c-pOyOK1~87=Zu0({5u^<NK99&=kaIN~%2+s#fq&U#((`N^#9jl7a2)vOC12r-"
        "~7)=tbzkBIw0~Jyd$~;N#?}r+5*>f>gz$o_cq?^FyN^Jj^W2e#7j1-_CC3a4rx8fI?YkjF_%BF{#Vpn74Kk0^YrOoc8a~v@-"
        "V33KXm<+aaz?E%wKJ{bA71xjs&rVcmoqR<(~p5;m^=-stg$L0#L_YyaJ6Qbx`@2638Z{t;|iCFTj&CIvpGb811+v~&((-"
        "<}zA3l1Sn<cA64o>u8ALcHk}&0EH)!OMRoc+Do@a)+`KB>eq4TR#My(n|y?K~Z^&42J|qkdKg`kewn6CFCM<4LKMQyp3E&c0>gykWZ06kcVP|9"
        "Jz%2i9Cp(Tt+@eenqBR1g{|<BR?Wjt%4Vj50T5rm?n4%c}v^)!$aPvPF{Ug{qW#kDs#4eeIS(h^8V7=V!G|X@!lhDZnSu(Kc7GP49t})XI9yOm"
        "c4xU#X@-QbEDA!_?4M{8Bmi6s>y`ZWWs7P5jB~pnoLYhCaxyaq9)U-CZnmzw5iD?)MPfP$+WA<B-"
        "La()MPe$iGDw$%@0Q6qqFU)%(*A^`&M=`AL^RPj?6E7kM@@9xdu$UNe;hTip^==vlk=qtv3BSB_nT<k+;go+hpYJGV%@?d8drLOGe%;Bkz%s_s"
        "YooWaPAr+$ke>$;jO@a*vGs8(ZjxJ^"
    ),
    "ZIP": (
        "c-kw|H)LdDU|>kjNX*Mi%_#;lax#lc7|elUP7I7d5*fRLNd_d5APf<P<ow)%qSWHz%=|nQHb{~=C9xziJTosPznmc{zrrY!L4W}PRDoC-"
        "h*L6)3vv=G398G<%uDqzN=Yq3Vu77dkXezM<5*mfnp_f;Sdy8~kd~95Si-"
        ";p*4<!VoLrQeng=o7IW?~YsIAN>je!Hn3S=eWnJFb1XhxJ&7Njy1mlS2@r8Dq?)hFhG9Fduun4Zdz2Mv^uP<kE{!sKcou851?UU9LfQ&`=%CBc"
        "H3_x_QPuj}M_)EqPniVb(B2`<mN;&$nblHb)8y-"
        "Q}g&RG>G?P=U?5xUrHQkq!dD!1Gt$zc)B&dJPN2ac^hD)O#v^Mj<)8LPYkcJkghd+3ntRzWtmT$!zcbFH(Kd3tVHWGP!spJm3xu<*$S2~apL1v"
        "}wwuOU~ngMe%P%xacPT9eH<kCf`J+4|is&dH`}!=Xbvg8%3znKG~b+<v_Nvc(t0Es6D&mV0(CnN~k5?f=qJo7=5{%X>rLB#B>5Z|ymDSi`(1R^"
        "qAKI_|}HPLw82k>07-v+Mp3fy!<v?XagmXK$}r?fq)$;v2DUdoKM5JUOGJep;-"
        "(EbFqYsXdCj3{LgNh`a5a`1%mS6tjPU8&nj44)q2*mV1^>>Zd6uHIB3c1I^FrsJXcQtVRKc>8ie=Z&&oHfCA|Wn?^>9;RS|>Jp#`AHnLB>?XYE"
        ")m57{}LsR6Dl~SBQ|8udwJ_P{(xAU?"
    ),
    "PIZ": (
        "c-rk&Urbw77(cze&{7IqXu}EuyJZMe4jHfpdujrOZebA0uwb?aO}MmWy-"
        "8c3?QkSBDL7a`vXwtZ?09I4>$VrgvS8+%cAH`Ri3_AJ8~C_sh|?^Xn2^lixh)Eg85bW+mhk1Clk@%iopXNQcXMyo!BQRp05F&to6Tf#;Dv>CIK"
        "k`KRt<P~-"
        "Z^TbGuUC#@3H_xyS2k^ayZy_+uzollQc3;<~VCJw!aHn+fSFVfCAg{Djo;$FtUyg3)B6taTeBQI%YST>^oM`BXqE*O_nN0hsog7GfuW0v{~92C"
        "m^HQu1bf&ZZg?o@LH42iPO5u+JJD!7CS?Zvqq=+83<>0hY2{GcGh+hBt_#H8+QoS%A7QTwk=X_?tnZd0N_+yoj}7W9OXjpp#TkB9B~AO<`hj#C"
        "I8V!Z22^Q`eK25@`CbQ{^LL{AVrjvCaQRDpyAOZT}V+PTI%WrJU5{sX(>euH3=>X^gfsW&N%Sbdq83Iw#=ADPA24q6CO_`9=sifMD3Gr!nGhEd"
        "hEmc@9@Iyg{QK>*9A|An?<3@%{_Vf<hSa@g3woxxRHfR9J&FCP2R!KARW*Y5{rdXi7+$|i4S0?Hm_GGV@Tl?SepzE1kZcpn`(3tUA7W>bHW>kt"
        "TU_lv80UVN7!pC*7A$G;JK-"
        "a`qh}7|8RaX7^%?(&tH7u3}01t@}%#bjN}7;C7?#sSv5x_RmP<^d)6CsnbdGMc{JVwJYsqngp&Js0imaik%*NgOLuT;^K4e0mQq)rO_S@>=<&u"
        "@Sx-cEi(Kkd9_d*(Tu{{M$NaT*4sIKN!jQ_+PY;Wz9J!uvl!(Z=*74awuQ=b0Pt*B`i&ZEZx>j4xjL+t1rG296OZ2#2E1gwaccb|R&1(U6GU$4"
        "!%uAuJzW)Ofhz)V|_QbK2(ehR6=ZXgV#E%NiMj3Zszh5DmxT_d)Wc5DcKl~1pQP(ta87(wc)O#_wb0srP;BNkp5Ow)pwb^T4^Q8(&*RW_@QtGb"
        "1Tk`f?kG*HTZPgmM!cV8tG>y0T#5~O^<t=AE<|;7YA8sN0X|*9EcusQo#QuC-iq=Ppd(k>Yi)So@ugKlG23f#d;?0fKabJv|D8ka*b#aqy?b>p"
        ">VE&?Y=Kl39Vz{Gp%+e3UEiJtPFlZ*W8)4!SI$XTf3T>rF4W8y|3>4Ac$J<YjT`ugy9nrIHT*l7$IqcP>;zshO>r(KRGxzipfppw4g85N)TJ}l"
        "l+-"
        "q{2%laQ<wjL}rja6e`c%#g`=8t6c9d*PB8Sq|q+IBD1`bMjip0p93M+!6P0e*gJ$sKKyxTK<v*Tnjpmm}IM#uGxhJG*p<(g~j7WW*(1j_8!mrI"
        "n2IB+s{C$RO3l@8XT??~Hx&K|^-=GmMRKUp)^W|AeSas&3Vg%BPxE&8k*ZKdX31iVDyhr~$R2Q^<`b&}V2rDnV69kBr#Tk3K?I(U)iueUE-"
        "Yn}|}&)rZuF)o-akEm|)6wI~s0!D3hm8zBSj@GSfg2H_WQ4z9qT;8U1X{QqO^-Er@ZFUuYO0086H>H"
    ),
    "B44": (
        "c-rlk!E4h{9LL|P)Gju`qleK2MDQ?h&V#!RouC&{3R*-DeKxP#gDj~{oEtI`4<4rUrbj751hJX0i^(Wn1V#2Ac(LGJj~;f=U-C@e`?)bM9%e~-"
        "@8x~o_q~@-la{87Cr^zO2qBGm>Nw2ypks5-Cud;n92tRDtrwD(C?nM!Bc$OjwA#$`xa**P92PC=(;9ay_b$2RE=_TAgvi%%sK=mM+-"
        "uo%`LFYA?y$>ki?x+rqR`??%s%V2Si`SUpSz@KyVNHKlhqGqyhfWbM{GaK93Pe~PBlqMIfXi<#w~yTk1hP=79*bD=FS|^lljz%CHMlJW2E`}qI"
        "3+oqY2acr9#Pkn3j|t9i=giqHGjp8p>i4K}?5HR^Eg3-Oir7>}MCP3`Z)do^*waR_-DiNYXStU3cg?P@H8hNtVtmYkFN~KwU|?rVpgcMe&YA>0"
        "iod^~74gDhRr9Rzq|XNOZ5WXZ>p##n}zCOC6noA>!zI<}SOsyna(GnIFe)L)qAx=#3Q;+M3vawnq`YETl7GptoH~Z}XRxAK@xw@3y~-"
        "5`GZ$zB~zSbU@9b8ASJhU|Q}n>@LB$bh$qrJ~8xq^4VR3HvDAhT{wz?sA%W|5kQG%4a1bQVi@tdf9CSFGaXH;S#$@{CZeAzZJrmDyX@ui7P*AT"
        "B}6VEa*6cJ1!{m?0^|}PmjJn}=Pv)7%i~Hx{yK$MfU@U_@F}9tDn;WNnVsptsu(g0ULpFX()wvcS5?Zt)BE4Wg#Sq|;J?!_JW~z(z4`^>rhUZ"
    ),
    "B44A": (
        "c-rlk&ui2`6vwAg+BDq>9zB$8Km-p3YdzRo(F%GIWkDBz95!xd+krG$H?g)zMLc+@(wiP-"
        "DI$oQ3cZ+=;6+fR|A7|^UPX@{x}Yx^lgz847Y}yXW#;XC-uKPRmt>cnT{wDdKp}+G=S;_8wg(HFdp<b<xl?2SqCC%}kw}@!FBwvI=bJ6&dE9l-"
        "IuVB~(>JT!vD{nay1O{Z$pKQl4#PYI)8by!HkbZdXLE<0Z&|D*tx^k3zR2v8UX#`Ris^HgG;G)O$^LZr-"
        "D$7hV$2ckXPD!|wuQ+CQKd`BB~@<ubGusjOHD>Rzr~$dLeqNFNlfs0bC!|D&zo|E79Bs25E851SXETxo@(4bXhMvKyYVneXx&&-GD;F7-"
        "MEwv+TG*ZwG!kq1*n!TMJKJ)Mzmd!rqOKQ&=a6U%loHVR$0<$t<Zql1yPNPo++IbF2#t?<+O5SEv^WHWujFPT>}!!%j|J{DW^ocin`R$6&NCp?"
        "or>%Z@s*DIj9=%MsL8_*c$JQDk*J^Z$Rvrh@L4~B_ujK<?JzkT>ciWfcARls~F*1L2pVE5Tkvv7EL3%4FqL<FTL(17%RNonF=53w3dE$*C2-"
        "Pb=rn^k%$I$x-A44(TuJe1ug4(vhSaH`LsF}O~_hw6VWE3?=o$k7S#9hCoiv%mk@agk(Us8iD>QxW`Mi|$V-5{1jx&J-"
        "^*U}@}R5~zfR!=p!_@$K0@?Crf4iDV|6O9%6g#%&k=o*Y5h2&i!$}U)BnF01J3+U;eS9coT+;KS^WUCZ(WN"
    ),
    "DEEP": (
        "c-kw|H)LeuU|>kjNX*Mi%_#;lax#lc7@`>%7#tZG86bcWik&b-"
        "+%ZIgFhrsln9xLkwv^^&JLi|?l`v!iF$+*g1tgrGTTql*T%4Johr$NwVM<9XNes`-"
        "OUW;1NXoA;%485=Kmb)BRtDmf%;JKa#7ctdax(K${fkmki;!4gmlb4Iq~<sl7o;Ya1SOVa<};+_<R?O0$iUEGUz}W&nwkeO-"
        "Z?d|1gNddD2;&w$qHm8;h8BV8E8h7R2HN%6qgib=A|?6fSjC~T2P#vm<Mu5S!xm3!>~XBJLw2C_+BzYXg*d5ZOjItBiJEyEz}i@I3e_LE(raG8"
        "$t{6LTEES2p!E2p&Ot9v{Vp6pAv%5?}Z_>h$w`%6ob%l;t*O`0z#jF(zTKh+DHmQKZnwDq#<;m41{Krh0wd9bb%Z+ZsZ~KEhycu0HIwJA@oluy"
        "-o>2Co3ZYJse7Jg3<=iu&Rhl&S+>@wrkp~ZL9ja)@_<MY2PAF*2$liJ@Gj`YoeicuHUIWOISI(A5A-"
        "=(;X$aQ7gyy#I6OrjI;l2`;qhc*29gbbNf%*EobIyf75rvp?485NDDf=8$re{V45*`lUc?7$E?lmpXUFF_}8&7Y<FtirDXRjo8GK6)!lpav#>d"
        "f%$EI2zPmirHovX^ar&(5Yx^qmdm|^AuiRJYbnwuRv-{k0)@405e{8OO-TdTpDf2V_yWVoe&b8XTWckjrpnHdY@G}0EJui7Tv`+cc?5V%C>x?^"
        "!*_oZ44=Wt7j>^(#SGC=dm}zboagDY4$Jqlu+`V6C2n35VnOqZo+PC0uAG-"
        "`2BOAl)%+d>tqk%*?keEgTiEtn>j|LLqKw=pUB*KBjIvPlX1Bq=kkO&77`)D8$4kV7zKq4GSoTGt6IFPtT1Bq}TagPQP;XvXU4J5*W#5)>Dgae"
        "6hG>`}f68~r*5e_7Q(Lf>`NP?q*L^zN@1F2!qz;TAsGZ>Kr>DaGjyPn;eHtX7}ZL7YW>gzi9Y2BuGm*!2n_h{due}_0(g+Hr5^*uLtlCf!Z)U_"
        "{XBqfb6r!PJ0H+Qm;d1c(CKSx+OxgU!kbp(e|o+%`Z6j(&m{O2*X7(6<Bq*GXZVN$sTdu&^U=&gtxHPJT*mD;$n99)!_Sx7V-"
        "?G9+I3fQU8w1I0oGoOev!{3mL2Ze{CqeX_IqeX|Jqs4}zqs51!qa}u-"
        "qa}x;qoszTqos$Uqh*Goqh*JpqveL8qveO9qZNjtqZNmuqm_oDqm_rEqXCCV1wa"
    ),
}
"""Zlib and base 85: `OpenEXR.File` of its Python package, with each compression."""
